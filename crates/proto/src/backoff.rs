//! Exponential backoff with jitter.

use std::time::Duration;

/// Delays that grow exponentially, with jitter so that clients do not retry in step. The randomness
/// comes from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The maximum of the first delay.
    pub base: Duration,
    /// The maximum of every delay.
    pub max: Duration,
}

impl Backoff {
    /// Creates a backoff whose delays double from `base` up to `max`.
    #[must_use]
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// Returns the delay before retry number `attempt`, counted from 0: between half and all of
    /// `base * 2^attempt`, at most `max`. `random` is any evenly distributed number.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let ceiling = 1_u32
            .checked_shl(attempt)
            .and_then(|factor| self.base.checked_mul(factor))
            .unwrap_or(self.max)
            .min(self.max);
        let half = ceiling / 2;
        half + scaled(ceiling - half, random)
    }
}

/// `span * random / 2^64`
fn scaled(span: Duration, random: u64) -> Duration {
    let nanos = span.as_nanos();
    // Split so that the product of up to 94 and 64 bits does not overflow.
    let (high, low) = (nanos >> 64, nanos & u128::from(u64::MAX));
    let random = u128::from(random);
    let product = high * random + ((low * random) >> 64);
    let seconds = u64::try_from(product / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (product % 1_000_000_000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

    #[test]
    fn delays_double_up_to_the_limit_with_jitter() {
        let millis = |attempt, random| BACKOFF.delay(attempt, random).as_millis();
        assert_eq!([millis(0, 0), millis(1, 0), millis(2, 0)], [50, 100, 200]);
        assert_eq!([millis(0, u64::MAX), millis(1, u64::MAX)], [99, 199]);
        assert_eq!(millis(0, 1 << 63), 75);
        assert_eq!([millis(20, 0), millis(u32::MAX, 0)], [5000, 5000]);
    }

    proptest! {
        #[test]
        fn delays_stay_within_bounds(base in any::<Duration>(), max in any::<Duration>(), attempt: u32, random: u64) {
            let delay = Backoff::new(base, max).delay(attempt, random);
            prop_assert!(delay <= max);
        }
    }
}
