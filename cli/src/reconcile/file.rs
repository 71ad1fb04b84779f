//! Reads what a provider says it has moved: SkyLink's own plain form, or a report of Stripe's. A file that is not understood to
//! its last field is refused as a whole, with the line.

use commands::card::looks_like_a_number;
use commands::command::REFERENCE_LENGTH_MAX;
use csv::{ErrorKind, StringRecord};
use engine::providers::statement::{BEGIN, COLUMNS, END};
use events::reconciliation::MovementKind;
use events::{Currency, Money, Timestamp};
use serde::Serialize;

use super::stripe;

/// Largest file, in bytes: it is read into memory.
pub(super) const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Most movements of one file.
pub(super) const MOVEMENTS_MAX: usize = 2_000_000;

/// Why a file is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(super) struct FileError {
    /// The line it is about, from 1.
    pub(super) line: u64,
    /// What is wrong with it.
    pub(super) problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("it names the columns of no file that is known: docs/reconciliation.md has them")]
    Header,
    #[error("there is no column `{0}`: ask the provider for the report with it")]
    NoColumn(&'static str),
    #[error("it has {found} fields and the first line {expected}: the file is cut off or was edited")]
    Fields { found: u64, expected: u64 },
    #[error("a quotation is not closed: the file is cut off or was edited")]
    Quotation,
    #[error("it is no text in UTF-8")]
    Text,
    #[error(
        "its column `{0}` holds what looks like a card's number, which must be kept nowhere: leave the column out"
    )]
    Card(String),
    #[error("`{text}` in column `{column}` is no amount of {currency} as this provider writes it")]
    Amount { column: &'static str, text: String, currency: Currency },
    #[error("`{0}` is no currency of ISO 4217")]
    Currency(String),
    #[error("`{text}` in column `{column}` is no time")]
    Time { column: &'static str, text: String },
    #[error(
        "its reference is empty, longer than {REFERENCE_LENGTH_MAX} characters, or has control characters"
    )]
    Reference,
    #[error("`{0}` is no kind of movement")]
    Kind(String),
    #[error("gross less fee is not net: the line was edited")]
    Net,
    #[error("the file does not begin with a `begin` and its time")]
    NoBegin,
    #[error("the file has no `end`: it is cut off")]
    NoEnd,
    #[error("there is more behind the `end`")]
    BehindEnd,
    #[error("the `end` counts {said} movements, and there are {found}: some are missing, or were added")]
    Count { said: String, found: usize },
    #[error("its time is not in the file's own period")]
    OutOfPeriod,
    #[error("there are more than {MOVEMENTS_MAX} movements: compare shorter periods")]
    TooMany,
}

impl Problem {
    pub(super) fn at(self, line: u64) -> FileError {
        FileError { line, problem: self }
    }
}

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// SkyLink's own plain form.
    Skylink,
    /// Stripe's itemized balance change from activity, which has everything but payouts.
    StripeActivity,
    /// Stripe's itemized payouts.
    StripePayouts,
}

impl Format {
    /// Tells whether movements of a kind are in such a file.
    pub(super) const fn covers(self, kind: MovementKind) -> bool {
        let is_payout = matches!(kind, MovementKind::Payout | MovementKind::PayoutReturned);
        match self {
            Format::Skylink => true,
            Format::StripeActivity => !is_payout,
            Format::StripePayouts => is_payout,
        }
    }
}

/// A period: since its beginning, and before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Period {
    pub(super) fn contains(&self, at: Timestamp) -> bool {
        (self.from..self.until).contains(&at)
    }
}

/// A movement as the provider says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: MovementKind,
    pub(super) reference: String,
    pub(super) at: Timestamp,
    /// Above zero: the provider holds so much more for the market.
    pub(super) amount: Money,
}

/// What a provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProviderFile {
    pub(super) format: Format,
    /// What it is about, if it says so itself.
    pub(super) period: Option<Period>,
    pub(super) rows: Vec<Row>,
    /// What the provider kept, and when.
    pub(super) fees: Vec<(Timestamp, Money)>,
}

/// Reads a file, whichever it is.
pub(super) fn read(bytes: &[u8]) -> Result<ProviderFile, FileError> {
    // A quotation that never ends would take what follows for its own.
    if !bytes.iter().filter(|byte| **byte == b'"').count().is_multiple_of(2) {
        return Err(Problem::Quotation.at(bytes.split(|byte| *byte == b'\n').count() as u64));
    }
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let header = reader.headers().map_err(|error| unread(&error))?.clone();
    let columns = Columns::new(&header);
    if header.iter().eq(COLUMNS) {
        return read_plain(reader, &columns);
    }
    stripe::read(reader, &columns)
}

/// Where columns are.
pub(super) struct Columns<'a>(&'a StringRecord);

impl<'a> Columns<'a> {
    fn new(header: &'a StringRecord) -> Self {
        Columns(header)
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| column == name)
    }

    pub(super) fn wanted(&self, name: &'static str) -> Result<usize, FileError> {
        self.find(name).ok_or(Problem::NoColumn(name).at(1))
    }

    /// Refuses a line that holds a card's number; columns of numbers hold none.
    pub(super) fn check_cards(
        &self,
        record: &StringRecord,
        numbers: &[&str],
        line: u64,
    ) -> Result<(), FileError> {
        for (column, field) in self.0.iter().zip(record) {
            if !numbers.contains(&column) && looks_like_a_number(field) {
                return Err(Problem::Card(column.chars().take(64).collect()).at(line));
            }
        }
        Ok(())
    }
}

/// Says what of a line can't be read at all.
pub(super) fn unread(error: &csv::Error) -> FileError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Problem::Fields { found: *len, expected: *expected_len }.at(line)
        }
        _ => Problem::Text.at(line),
    }
}

/// Gives a field's text, shortened: what is told of a wrong field is told to people.
pub(super) fn shown(field: &str) -> String {
    field.chars().take(40).collect()
}

/// Takes a provider's reference.
pub(super) fn reference(field: &str, line: u64) -> Result<String, FileError> {
    let length = field.chars().count();
    if length == 0 || length > REFERENCE_LENGTH_MAX || field.chars().any(char::is_control) {
        return Err(Problem::Reference.at(line));
    }
    Ok(field.to_owned())
}

/// Gives the line that a record begins on.
pub(super) fn line_of(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn read_plain(mut reader: csv::Reader<&[u8]>, columns: &Columns<'_>) -> Result<ProviderFile, FileError> {
    let (mut rows, mut fees) = (Vec::new(), Vec::new());
    let (mut begin, mut end) = (None, None);
    let mut last = 1;
    for record in reader.records() {
        let record = record.map_err(|error| unread(&error))?;
        let line = line_of(&record);
        last = line;
        columns.check_cards(&record, &["time", "amount", "fee"], line)?;
        let [kind, named, time, currency, amount, fee] = std::array::from_fn(|at| &record[at]);
        if end.is_some() {
            return Err(Problem::BehindEnd.at(line));
        }
        let at = Timestamp::parse_rfc3339(time)
            .map_err(|_| Problem::Time { column: "time", text: shown(time) }.at(line))?;
        let Some(from) = begin else {
            if kind != BEGIN {
                return Err(Problem::NoBegin.at(line));
            }
            begin = Some(at);
            continue;
        };
        if kind == END {
            if named.parse() != Ok(rows.len()) {
                return Err(Problem::Count { said: shown(named), found: rows.len() }.at(line));
            }
            if at < from || rows.iter().any(|row: &Row| row.at >= at) {
                return Err(Problem::OutOfPeriod.at(line));
            }
            end = Some(at);
            continue;
        }
        let of_word = |word: &str| MovementKind::ALL.into_iter().find(|known| known.word() == word);
        let kind = of_word(kind).ok_or_else(|| Problem::Kind(shown(kind)).at(line))?;
        let currency: Currency = currency.parse().map_err(|_| Problem::Currency(shown(currency)).at(line))?;
        let money = |column, text: &str| {
            let wrong = |_| Problem::Amount { column, text: shown(text), currency }.at(line);
            Money::parse_decimal(text, currency).map_err(wrong)
        };
        if at < from {
            return Err(Problem::OutOfPeriod.at(line));
        }
        if rows.len() == MOVEMENTS_MAX {
            return Err(Problem::TooMany.at(line));
        }
        fees.push((at, money("fee", fee)?));
        rows.push(Row { kind, reference: reference(named, line)?, at, amount: money("amount", amount)? });
    }
    let from = begin.ok_or(Problem::NoBegin.at(last))?;
    let until = end.ok_or(Problem::NoEnd.at(last))?;
    fees.retain(|(_, fee)| fee.minor != 0);
    Ok(ProviderFile { format: Format::Skylink, period: Some(Period { from, until }), rows, fees })
}

#[cfg(test)]
mod tests;
