//! A Parquet file that is written group of rows by group of rows: what is in memory is one group.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use events::ledger::Transfer;
use events::metadata::Cause;
use events::{Commit, Recorded};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// Most rows of a group.
const GROUP_ROWS_MAX: usize = 50_000;
/// From how many bytes of text on a group is written, with fewer rows too.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Columns of every file, in this order; what is of one kind of row stands behind them.
const ALWAYS: &str = "
    required int64 position;
    required int64 time (TIMESTAMP(MILLIS, true));
    required binary market (UTF8);
    required binary type (UTF8);
    required binary aggregate (UTF8);
    optional binary subject (UTF8);
    required binary commit (UTF8);
    required int32 index;
    optional binary command (UTF8);
    optional binary account (UTF8);
";
const OF_EVENTS: &str = "
    optional int64 moved_minor;
    optional binary currency (UTF8);
    required binary payload (JSON);
";
const OF_TRANSFERS: &str = "
    required int32 transfer;
    required binary from (UTF8);
    required binary to (UTF8);
    required int64 amount_minor;
    required binary currency (UTF8);
";

/// Values of one column.
enum Column {
    Text(Vec<Option<ByteArray>>),
    Long(Vec<Option<i64>>),
    Int(Vec<i32>),
}

/// What rows a file has, and those of the group that is not written yet.
pub(super) struct Rows {
    schema: String,
    make: fn(&Commit, &Recorded, &mut Group),
    /// Most rows of a group.
    rows_max: usize,
    group: Group,
}

/// Rows that are not written yet, column by column.
#[derive(Default)]
struct Group {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    /// Which column the next value of the row is of.
    next: usize,
}

impl Group {
    fn column(&mut self, new: impl FnOnce() -> Column) -> &mut Column {
        if self.next == self.columns.len() {
            self.columns.push(new());
        }
        self.next += 1;
        &mut self.columns[self.next - 1]
    }

    fn text(&mut self, value: impl Into<String>) {
        self.text_or_none(Some(value.into()));
    }

    fn text_or_none(&mut self, value: Option<String>) {
        let value = value.map(String::into_bytes);
        self.bytes += value.as_ref().map_or(0, Vec::len);
        let Column::Text(values) = self.column(|| Column::Text(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value.map(ByteArray::from));
    }

    fn long(&mut self, value: impl Into<Option<i64>>) {
        let Column::Long(values) = self.column(|| Column::Long(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value.into());
    }

    fn int(&mut self, value: i32) {
        let Column::Int(values) = self.column(|| Column::Int(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value);
    }

    fn row_ends(&mut self) {
        assert_eq!(self.next, self.columns.len(), "a row has a value in each column");
        (self.rows, self.next) = (self.rows + 1, 0);
    }
}

impl Rows {
    /// One row for each event.
    pub(super) fn events() -> Rows {
        let schema = format!("message event {{ {ALWAYS} {OF_EVENTS} }}");
        let make = |commit: &Commit, recorded: &Recorded, group: &mut Group| {
            always(commit, recorded, group);
            let moved = moved(recorded.event.transfers());
            group.long(moved.map(|(minor, _)| minor));
            group.text_or_none(moved.map(|(_, currency)| currency.to_string()));
            group.text(String::from_utf8_lossy(&recorded.payload_json));
            group.row_ends();
        };
        Rows { schema, make, rows_max: GROUP_ROWS_MAX, group: Group::default() }
    }

    /// One row for each transfer.
    pub(super) fn transfers() -> Rows {
        let schema = format!("message transfer {{ {ALWAYS} {OF_TRANSFERS} }}");
        let make = |commit: &Commit, recorded: &Recorded, group: &mut Group| {
            for (number, transfer) in (0..).zip(recorded.event.transfers()) {
                let Transfer { amount, from, to } = transfer;
                always(commit, recorded, group);
                group.int(number);
                group.text(from.to_string());
                group.text(to.to_string());
                group.long(amount.minor);
                group.text(amount.currency.to_string());
                group.row_ends();
            }
        };
        Rows { schema, make, rows_max: GROUP_ROWS_MAX, group: Group::default() }
    }
}

/// Adds the values that every row begins with.
fn always(commit: &Commit, recorded: &Recorded, group: &mut Group) {
    let metadata = &recorded.metadata;
    let by = match &commit.start().cause {
        Cause::Command(stamp) => Some(stamp),
        _ => None,
    };
    let aggregate = metadata.type_name.split('.').next().unwrap_or_default();
    group.long(i64::try_from(recorded.position).expect("a log has fewer than 2^63 events"));
    group.long(metadata.time.ms());
    group.text(metadata.market.to_string());
    group.text(metadata.type_name.clone());
    group.text(aggregate.to_owned());
    group.text_or_none(metadata.subject.clone());
    group.text(metadata.commit.to_string());
    group.int(i32::from(metadata.index));
    group.text_or_none(by.map(|stamp| stamp.command.to_string()));
    group.text_or_none(by.map(|stamp| stamp.account.to_string()));
}

/// Gives how much an event moved between accounts of the ledger, all its transfers together; none: nothing, or more than one currency.
fn moved(transfers: &[Transfer]) -> Option<(i64, events::Currency)> {
    let currency = transfers.first()?.amount.currency;
    let is_one = transfers.iter().all(|transfer| transfer.amount.currency == currency);
    let minor = transfers.iter().try_fold(0i64, |sum, transfer| sum.checked_add(transfer.amount.minor));
    minor.filter(|_| is_one).map(|minor| (minor, currency))
}

/// A file that is written.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Rows,
    written: u64,
}

impl<W: Write + Send> Table<W> {
    pub(super) fn begin(out: W, rows: Rows) -> anyhow::Result<Table<W>> {
        let schema = Arc::new(parse_message_type(&rows.schema).context("the columns of the file")?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("skylink {}", env!("CARGO_PKG_VERSION")));
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties.build()));
        Ok(Table { writer: writer.context(FAILED)?, rows, written: 0 })
    }

    pub(super) fn add(&mut self, commit: &Commit) -> anyhow::Result<()> {
        for recorded in commit.events() {
            (self.rows.make)(commit, recorded, &mut self.rows.group);
            let group = &self.rows.group;
            if group.rows >= self.rows.rows_max || group.bytes >= GROUP_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and gives how many rows the file has.
    pub(super) fn end(mut self) -> anyhow::Result<u64> {
        if self.rows.group.rows > 0 {
            self.write()?;
        }
        let mut out = self.writer.into_inner().context(FAILED)?;
        out.flush().context(FAILED)?;
        Ok(self.written)
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let group = std::mem::take(&mut self.rows.group);
        self.written += group.rows as u64;
        let mut writer = self.writer.next_row_group().context(FAILED)?;
        for column in &group.columns {
            write_column(&mut writer, column).context(FAILED)?;
        }
        writer.close().context(FAILED)?;
        Ok(())
    }
}

const FAILED: &str = "the file can't be written: see that there is room";

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
) -> Result<(), parquet::errors::ParquetError> {
    let mut writer = group.next_column()?.expect("the file has a column for each value of a row");
    // What a required column has no need of, it does not look at.
    match column {
        Column::Text(values) => {
            let there: Vec<ByteArray> = values.iter().flatten().cloned().collect();
            writer.typed::<ByteArrayType>().write_batch(&there, Some(&levels(values)), None)?;
        }
        Column::Long(values) => {
            let there: Vec<i64> = values.iter().flatten().copied().collect();
            writer.typed::<Int64Type>().write_batch(&there, Some(&levels(values)), None)?;
        }
        Column::Int(values) => {
            writer.typed::<Int32Type>().write_batch(values, None, None)?;
        }
    }
    writer.close()
}

/// Tells of each value whether it is there.
fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
    values.iter().map(|value| i16::from(value.is_some())).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use events::commit::Seal;
    use events::ids::{AccountId, CommitId, WriterId};
    use events::ledger::LedgerAccount;
    use events::{Event, Hash, Head, Money, Timestamp};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use uuid::Uuid;

    use super::*;

    /// Commits of one event each that moves money, and of one that does not.
    fn commits(count: u64) -> Vec<Commit> {
        let (mut commits, mut head) = (Vec::new(), Head::EMPTY);
        let account = AccountId::from_uuid(Uuid::from_u128(1));
        let writer = WriterId::from_uuid(Uuid::from_u128(2));
        for n in 0..count {
            let amount = Money::new(5 + n as i64, "USD".parse().unwrap());
            let (from, to) = (LedgerAccount::ProviderClearing(account), LedgerAccount::Wallet(account));
            let transfer = Transfer { amount, from, to };
            let funded = events::listing::WalletFunded { account, reference: "r".to_owned(), transfer };
            let started = events::market::WriterStarted { epoch: n, version: "v".to_owned(), writer };
            let events: Vec<Event> = if n % 2 == 0 { vec![funded.into()] } else { vec![started.into()] };
            let seal = Seal {
                id: CommitId::derive(writer, head.position + 1, Timestamp::from_ms(7)),
                market: "main".parse().unwrap(),
                time: Timestamp::from_ms(7),
                cause: Cause::Writer(writer),
                traceparent: None,
            };
            let commit = Commit::seal(head, seal, events);
            head = commit.head();
            commits.push(commit);
        }
        assert_ne!(head.hash, Hash::ZERO);
        commits
    }

    fn written(rows: Rows, commits: &[Commit]) -> (u64, SerializedFileReader<Bytes>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut table = Table::begin(file.reopen().unwrap(), rows).unwrap();
        for commit in commits {
            table.add(commit).unwrap();
            assert!(table.rows.group.rows < table.rows.rows_max, "what is full is written");
        }
        let count = table.end().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        (count, SerializedFileReader::new(Bytes::from(bytes)).unwrap())
    }

    #[test]
    fn rows_are_written_group_by_group_and_all_of_them() {
        let commits = commits(10);
        let (count, file) = written(Rows { rows_max: 4, ..Rows::events() }, &commits);
        let groups: Vec<i64> = file.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!((count, groups), (10, vec![4, 4, 2]));
        let (count, file) = written(Rows { rows_max: 2, ..Rows::transfers() }, &commits);
        assert_eq!((count, file.metadata().num_row_groups()), (5, 3));
        let rows: Vec<String> =
            file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert!(rows[4].contains("amount_minor: 13") && rows[4].contains("to: \"wallet:"), "{rows:?}");
        let (count, file) = written(Rows::transfers(), &[]);
        assert_eq!((count, file.metadata().num_row_groups()), (0, 0));
    }
}
