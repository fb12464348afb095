//! The one way to wait: for a named reason, with back-off and a deadline.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::context::Cx;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Tries until it works, the context's deadline passes, or Ctrl-C.
///
/// Only [`ErrorKind::Busy`] is tried again; pauses grow from 50 ms to 1 s.
/// `reason` is a fragment that fits after "waiting for"; `hint` says what to do if
/// it never comes.
///
/// # Errors
/// The first error that is not `Busy`; after the deadline a `Driver` error with
/// the reason, the hint and the last cause.
pub async fn until<T, F, A>(cx: &Cx, reason: &str, hint: &str, mut attempt: A) -> Result<T>
where
    A: FnMut() -> F,
    F: Future<Output = Result<T>>,
{
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last: Option<Error> = None;
    loop {
        cx.go_on()?;
        let left = cx.left();
        if left.is_zero() {
            return Err(timed_out(reason, hint, began.elapsed(), last));
        }
        let tried = tokio::select! {
            biased;
            () = cx.cancelled().cancelled() => return Err(Error::interrupted()),
            tried = tokio::time::timeout(left, attempt()) => tried,
        };
        match tried {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.kind() == ErrorKind::Busy => last = Some(error),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(timed_out(reason, hint, began.elapsed(), last)),
        }
        cx.report(EventKind::Waiting { reason: reason.to_owned(), elapsed: began.elapsed() });
        pause_for(cx, pause).await?;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Pauses, ending early on Ctrl-C and at the deadline.
///
/// # Errors
/// `Interrupted` on Ctrl-C.
#[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps")]
pub async fn pause_for(cx: &Cx, time: Duration) -> Result<()> {
    tokio::select! {
        biased;
        () = cx.cancelled().cancelled() => Err(Error::interrupted()),
        () = tokio::time::sleep(time.min(cx.left())) => Ok(()),
    }
}

fn timed_out(reason: &str, hint: &str, waited: Duration, last: Option<Error>) -> Error {
    let error = Error::driver(format!("waited {} s for {reason} in vain", waited.as_secs()));
    let error = if hint.is_empty() { error } else { error.hint(hint) };
    match last {
        Some(last) => error.because(last),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::event::Reporter;

    fn cx(time: Duration) -> Cx {
        Cx::new("/nowhere", Reporter::silent(), CancellationToken::new()).within(time)
    }

    #[tokio::test]
    async fn only_busy_is_tried_again() {
        let tries = Cell::new(0);
        let result = until(&cx(Duration::from_secs(5)), "luck", "", || {
            tries.set(tries.get() + 1);
            let n = tries.get();
            async move { if n < 3 { Err(Error::busy("not yet")) } else { Ok(n) } }
        })
        .await;
        assert_eq!(result.unwrap(), 3);

        let result: Result<()> = until(&cx(Duration::from_secs(5)), "luck", "", || async {
            Err(Error::driver("never"))
        })
        .await;
        assert_eq!(result.unwrap_err().to_string(), "never");
    }

    #[tokio::test]
    async fn the_deadline_names_reason_hint_and_cause() {
        let result: Result<()> =
            until(&cx(Duration::from_millis(120)), "SSH", "look at the console", || async {
                Err(Error::busy("connection refused"))
            })
            .await;
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s for SSH in vain: connection refused");
        assert_eq!(error.hint_text(), Some("look at the console"));
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_ends_at_the_deadline() {
        let result: Result<()> =
            until(&cx(Duration::from_millis(50)), "nothing", "", std::future::pending).await;
        assert!(result.is_err());
    }

    #[tokio::test]
    async fn ctrl_c_ends_a_wait() {
        let cancel = CancellationToken::new();
        let cx = Cx::new("/nowhere", Reporter::silent(), cancel.clone());
        cancel.cancel();
        let result: Result<()> = until(&cx, "x", "", || async { Err(Error::busy("no")) }).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted);
    }
}
