//! A cache of histogram handles by label set.

use std::collections::HashMap;
use std::hash::Hash;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use metrics::Histogram;

/// Histogram handles by label set. Looking one up in the recorder would allocate its key (name and labels) each time.
pub(super) struct HistogramCache<L>(ArcSwap<HashMap<L, Histogram, RandomState>>);

impl<L> Default for HistogramCache<L> {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(HashMap::default()))
    }
}

impl<L: Copy + Eq + Hash> HistogramCache<L> {
    pub(super) fn get_or_register(&self, labels: L, register: impl FnOnce() -> Histogram) -> Histogram {
        if let Some(histogram) = self.0.load().get(&labels) {
            return histogram.clone();
        }
        let registered = register();
        self.0.rcu(|histograms| {
            let mut histograms = HashMap::clone(histograms);
            histograms.insert(labels, registered.clone());
            histograms
        });
        registered
    }
}
