//! Data to standard output, talk to standard error.

use std::fmt::Arguments;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

/// Standard output with a buffer: lines of data.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    /// Takes standard output.
    pub(crate) fn stdout() -> Output {
        Output(BufWriter::new(io::stdout().lock()))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: Arguments<'_>) -> io::Result<()> {
        self.0.write_fmt(text)?;
        self.0.write_all(b"\n")
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json<T: Serialize>(&mut self, value: &T) -> anyhow::Result<()> {
        let line = serde_json::to_string(value)?;
        Ok(self.line(format_args!("{line}"))?)
    }

    /// Writes a value as JSON for people to read.
    pub(crate) fn pretty<T: Serialize>(&mut self, value: &T) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(self.line(format_args!("{text}"))?)
    }

    /// Gives what was written to whoever reads it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Says something on standard error.
pub(crate) fn talk(text: Arguments<'_>) {
    // Where nobody can listen there is nothing else to do.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Tells whether a command failed only because nobody reads its output any more.
pub(crate) fn reader_is_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes an error and its causes as one paragraph; a cause that its error has already told is not told again.
pub(crate) fn paragraph(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}
