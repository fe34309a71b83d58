//! Series that are at hand.

use std::collections::HashMap;
use std::hash::Hash;

use arc_swap::ArcSwap;
use metrics::Histogram;

/// Histograms by their labels: to ask the recorder for one anew, its name and labels have to be put together.
pub(super) struct Known<L>(ArcSwap<HashMap<L, Histogram>>);

impl<L> Default for Known<L> {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(HashMap::new()))
    }
}

impl<L: Copy + Eq + Hash> Known<L> {
    pub(super) fn get(&self, labels: L, register: impl FnOnce() -> Histogram) -> Histogram {
        if let Some(known) = self.0.load().get(&labels) {
            return known.clone();
        }
        let registered = register();
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(labels, registered.clone());
            known
        });
        registered
    }
}
