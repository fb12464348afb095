//! How files are copied, on a line that changes, where there is somebody to see it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Mode, clean};
use crate::cli::Global;
use crate::copy::Watch;
use crate::host::Host;

/// Shows how a copy goes on.
pub struct Copying {
    host: Host,
    mode: Mode,
    bar: Mutex<Option<ProgressBar>>,
}

impl Copying {
    /// As much as flags and terminal allow.
    pub fn new(host: &Host, global: &Global) -> Self {
        Self { host: host.clone(), mode: Mode::choose(host, global), bar: Mutex::new(None) }
    }

    fn with_bar(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        act(&mut self.bar.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Watch for Copying {
    fn begins(&self, name: &str, size: u64) {
        if self.mode != Mode::Human {
            return;
        }
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(size), target);
        let style = "{msg}  {percent:>3}%  {binary_bytes}  {binary_bytes_per_sec}  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(clean::line(&clean::text(name)));
        bar.enable_steady_tick(Duration::from_millis(250));
        self.with_bar(|slot| *slot = Some(bar));
    }

    fn arrived(&self, bytes: u64) {
        self.with_bar(|bar| {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        });
    }

    fn ends(&self) {
        self.with_bar(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish();
            }
        });
    }

    fn left_out(&self, name: &str, why: &str) {
        if !matches!(self.mode, Mode::Json | Mode::Quiet) {
            let name = clean::line(&clean::text(name));
            self.host.err(&format!("note: `{name}` is left out: {why}\n"));
        }
    }
}
