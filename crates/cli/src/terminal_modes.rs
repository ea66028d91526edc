//! The modes of the terminal, saved and restored around prompts.

use dialoguer::console::Term;
#[cfg(unix)]
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The modes of the terminal at one time. Prompts turn its echo and its cursor off.
#[derive(Debug)]
pub(crate) struct TerminalModes {
    #[cfg(unix)]
    modes: Option<Termios>,
}

impl TerminalModes {
    /// Saves the current modes.
    pub(crate) fn now() -> Self {
        Self {
            #[cfg(unix)]
            modes: tcgetattr(std::io::stdin()).ok(),
        }
    }

    /// Restores the modes if they have changed, and shows the cursor.
    pub(crate) fn restore(&self) {
        #[cfg(unix)]
        if let Some(modes) = &self.modes
            && let Ok(now) = tcgetattr(std::io::stdin())
            // A background process is stopped when it sets modes, so they are only set if needed.
            && (now.local_modes, now.input_modes) != (modes.local_modes, modes.input_modes)
        {
            // Fails only if the terminal is gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
        }
        let term = Term::stderr();
        if term.is_term() {
            let _ = term.show_cursor();
        }
    }

    /// Like [`restore`](Self::restore), and ends the current line, since the process exits.
    pub(crate) fn restore_at_exit(&self) {
        self.restore();
        if Term::stderr().is_term() {
            let _ = Term::stderr().write_line("");
        }
    }
}
