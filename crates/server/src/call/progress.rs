//! Progress notifications (`basic/patterns/progress`).

use crate::call::ctx::Ctx;
use futures_core::future::BoxFuture;
use std::borrow::Cow;
use std::future::IntoFuture;

impl Ctx {
    /// Tells the client how far the call has come, if it asked for that.
    ///
    /// Nothing is sent until the report is awaited:
    ///
    /// ```
    /// # use carryall_server::Ctx;
    /// # async fn copy(ctx: Ctx, files: Vec<String>) {
    /// for (done, file) in files.iter().enumerate() {
    ///     ctx.progress(done).of(files.len()).message(format!("copying {file}")).await;
    /// }
    /// # }
    /// ```
    ///
    /// The value must grow from one report to the next. A report that does not grow, or that
    /// follows within 10 ms, is dropped; the first that reaches the total is sent in any case. While
    /// 64 notifications wait for a slow client, the report waits too. Cancel safe.
    ///
    /// In a task the report becomes the status message, which the client reads when it asks for the
    /// task.
    pub fn progress(&self, value: impl ProgressValue) -> ProgressReport<'_> {
        ProgressReport {
            ctx: self,
            value: value.to_f64(),
            total: None,
            message: None,
        }
    }
}

/// A progress notification; see [`Ctx::progress`].
#[derive(Debug)]
#[must_use = "nothing is sent until the report is awaited"]
pub struct ProgressReport<'a> {
    ctx: &'a Ctx,
    value: f64,
    total: Option<f64>,
    message: Option<Cow<'a, str>>,
}

impl<'a> ProgressReport<'a> {
    /// Sets the value that the progress ends at. Unknown by default.
    pub fn of(mut self, total: impl ProgressValue) -> Self {
        self.total = Some(total.to_f64());
        self
    }

    /// Sets a message for people. None by default.
    pub fn message(mut self, message: impl Into<Cow<'a, str>>) -> Self {
        self.message = Some(message.into());
        self
    }
}

impl<'a> IntoFuture for ProgressReport<'a> {
    type Output = ();
    type IntoFuture = BoxFuture<'a, ()>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.ctx
                .send_progress(self.value, self.total, self.message.as_deref())
                .await;
        })
    }
}

/// A number that progress can be counted in: any integer or float.
pub trait ProgressValue: sealed::SealedNumber {
    /// Returns the nearest `f64`.
    #[doc(hidden)]
    fn to_f64(self) -> f64;
}

mod sealed {
    pub trait SealedNumber {}
}

macro_rules! progress_value {
    ($($number:ty)*) => {$(
        impl sealed::SealedNumber for $number {}

        impl ProgressValue for $number {
            // Exact up to 2^53, and more than that is not counted.
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

progress_value!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize f32 f64);
