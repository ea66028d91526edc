//! The rules for sending `notifications/progress` (`basic/patterns/progress`).

use std::time::Duration;

/// Filters the progress of one request: values increase strictly, are rate limited, and end with the
/// request.
#[derive(Clone, Debug)]
pub struct Progress {
    last: Option<(f64, Duration)>,
    min_interval: Duration,
    /// The value that reached the total has passed without regard to the interval.
    reached_total: bool,
    finished: bool,
}

impl Progress {
    /// Creates a filter that passes one notification per `min_interval`.
    #[must_use]
    pub fn new(min_interval: Duration) -> Self {
        Self {
            last: None,
            min_interval,
            reached_total: false,
            finished: false,
        }
    }

    /// Whether this value may be sent at `now`. A refused value is not recorded: the next one is
    /// compared with what the receiver has seen.
    ///
    /// The first value that reaches `total` passes regardless of the interval. Values and totals
    /// that JSON cannot express are refused.
    pub fn admit(&mut self, now: Duration, progress: f64, total: Option<f64>) -> bool {
        if self.finished || !progress.is_finite() || total.is_some_and(|total| !total.is_finite()) {
            return false;
        }
        let complete = !self.reached_total && total.is_some_and(|total| progress >= total);
        if let Some((last, at)) = self.last {
            let too_soon = now.saturating_sub(at) < self.min_interval;
            if progress <= last || (too_soon && !complete) {
                return false;
            }
        }
        self.last = Some((progress, now));
        self.reached_total |= complete;
        true
    }

    /// Ends the progress: the request has been answered, and nothing passes any more.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    // spec: progress-04
    #[test]
    fn only_larger_values_pass() {
        let mut progress = Progress::new(MS(0));
        let passed: Vec<_> = [0.0, 0.5, 0.5, 0.4, f64::NAN, f64::INFINITY, -1.0, 0.6]
            .into_iter()
            .filter(|&value| progress.admit(MS(0), value, None))
            .collect();
        assert_eq!(passed, [0.0, 0.5, 0.6]);
        assert!(!progress.admit(MS(0), 1.0, Some(f64::NAN)));
    }

    // spec: progress-10
    #[test]
    fn values_in_quick_succession_are_held_back_but_the_last_one() {
        let mut progress = Progress::new(MS(100));
        assert!(progress.admit(MS(0), 1.0, Some(100.0)));
        assert!(!progress.admit(MS(99), 2.0, Some(100.0)));
        assert!(progress.admit(MS(100), 2.0, Some(100.0)));
        assert!(progress.admit(MS(101), 100.0, Some(100.0)));
        assert!(
            !progress.admit(MS(102), 101.0, Some(100.0)),
            "the exception holds once"
        );
        assert!(progress.admit(MS(201), 101.0, Some(100.0)));
    }

    // spec: progress-11
    #[test]
    fn nothing_passes_after_the_end() {
        let mut progress = Progress::new(MS(0));
        assert!(progress.admit(MS(0), 1.0, None));
        progress.finish();
        assert!(!progress.admit(MS(10), 2.0, Some(2.0)));
    }

    proptest! {
        #[test]
        fn what_passes_increases_strictly(values in proptest::collection::vec((any::<f64>(), 0u64..50, any::<Option<f64>>()), 0..40)) {
            let mut progress = Progress::new(MS(20));
            let (mut now, mut last) = (MS(0), None::<f64>);
            for (value, step, total) in values {
                now += MS(step);
                if progress.admit(now, value, total) {
                    prop_assert!(value.is_finite() && last.is_none_or(|last| value > last));
                    last = Some(value);
                }
            }
        }
    }
}
