//! Progress for people: one line for each step, with a mark once it was seen to be true.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A sequence of named steps.
pub(crate) struct Steps {
    started: Instant,
    done: usize,
    colour: bool,
}

impl Steps {
    pub(crate) fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { started: Instant::now(), done: 0, colour }
    }

    /// Performs one step. What it returns as text is shown under it.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Notes) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.colour {
            print!("  … {name}");
            let _ = std::io::stdout().flush();
        }
        let mut notes = Notes::default();
        let outcome = act(&mut notes);
        let (mark, paint) = match &outcome {
            Ok(_) => ("✔", "32"),
            Err(_) => ("✘", "31"),
        };
        let seconds = self.started.elapsed().as_secs();
        if self.colour {
            println!("\r\x1b[K  \x1b[{paint}m{mark}\x1b[0m \x1b[2m{seconds:>4} s\x1b[0m  {name}");
        } else {
            println!("  {mark} {seconds:>4} s  {name}");
        }
        for line in notes.lines {
            if self.colour {
                println!("             \x1b[2m{line}\x1b[0m");
            } else {
                println!("             {line}");
            }
        }
        self.done += usize::from(outcome.is_ok());
        outcome
    }

    /// How many steps were seen to be true.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// How long all of it has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What a step wants to show besides its name.
#[derive(Default)]
pub(crate) struct Notes {
    lines: Vec<String>,
}

impl Notes {
    /// Shows `text` under the step, line by line.
    pub(crate) fn show(&mut self, text: impl AsRef<str>) {
        self.lines.extend(text.as_ref().lines().map(str::to_owned));
    }
}
