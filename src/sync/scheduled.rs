//! Locks and atomics at which shuttle may switch tasks. Outside of [`explore`] they do what std's do.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError, TryLockError};
use std::thread::panicking;

thread_local! {
    /// Whether shuttle runs this thread; its tasks are coroutines of one thread.
    static IS_EXPLORING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `test` with this number of random interleavings of its tasks.
pub(crate) fn explore(interleavings: usize, test: impl Fn() + Send + Sync + 'static) {
    let _exploring = Exploring::begin();
    shuttle::check_random(test, interleavings);
}

pub(super) fn is_exploring() -> bool {
    IS_EXPLORING.get()
}

/// Lets shuttle switch to another task.
fn switch() {
    if is_exploring() && !panicking() {
        shuttle::thread::yield_now();
    }
}

struct Exploring;

impl Exploring {
    fn begin() -> Self {
        IS_EXPLORING.set(true);
        Self
    }
}

impl Drop for Exploring {
    fn drop(&mut self) {
        IS_EXPLORING.set(false);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if !is_exploring() {
            return self.0.lock().map(MutexGuard::new).map_err(poisoned);
        }
        loop {
            switch();
            match self.0.try_lock() {
                Ok(guard) => return Ok(MutexGuard::new(guard)),
                Err(TryLockError::Poisoned(error)) => return Err(poisoned(error)),
                Err(TryLockError::WouldBlock) => {}
            }
        }
    }
}

fn poisoned<'a, T>(error: PoisonError<std::sync::MutexGuard<'a, T>>) -> PoisonError<MutexGuard<'a, T>> {
    PoisonError::new(MutexGuard::new(error.into_inner()))
}

/// Unlocks the mutex when dropped.
pub(crate) struct MutexGuard<'a, T>(Option<std::sync::MutexGuard<'a, T>>);

impl<'a, T> MutexGuard<'a, T> {
    fn new(guard: std::sync::MutexGuard<'a, T>) -> Self {
        Self(Some(guard))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("taken only by drop")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("taken only by drop")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        drop(self.0.take());
        switch();
    }
}

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    use super::switch;

    /// Defines an atomic that wraps std's and switches before each of these operations.
    macro_rules! atomic {
        ($name:ident, $value:ty, $($operation:ident),*) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(std::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $value {
                    switch();
                    self.0.load(ordering)
                }

                #[allow(dead_code, reason = "some atomics are only added to")]
                pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                    switch();
                    self.0.store(value, ordering);
                }

                $(pub(crate) fn $operation(&self, value: $value, ordering: Ordering) -> $value {
                    switch();
                    self.0.$operation(value, ordering)
                })*
            }
        };
    }

    atomic!(AtomicBool, bool, swap);
    atomic!(AtomicU64, u64,);
    atomic!(AtomicUsize, usize, fetch_add, fetch_sub);
}
