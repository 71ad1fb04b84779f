//! A Parquet file that is written group of rows by group of rows: what is in memory is one group.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// Most rows of a group, but for those that are added together.
const GROUP_ROWS_MAX: usize = 50_000;
/// From how many bytes of text on a group is written, with fewer rows too.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Values of one column.
enum Column {
    Text(Vec<Option<ByteArray>>),
    Long(Vec<Option<i64>>),
    Int(Vec<i32>),
}

/// Rows that are not written yet, column by column. Each row has its values in the order of the columns, and then ends.
#[derive(Default)]
pub(super) struct Group {
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

    pub(super) fn text(&mut self, value: impl Into<String>) {
        self.text_or_none(Some(value.into()));
    }

    pub(super) fn text_or_none(&mut self, value: Option<String>) {
        let value = value.map(String::into_bytes);
        self.bytes += value.as_ref().map_or(0, Vec::len);
        let Column::Text(values) = self.column(|| Column::Text(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value.map(ByteArray::from));
    }

    pub(super) fn long(&mut self, value: impl Into<Option<i64>>) {
        let Column::Long(values) = self.column(|| Column::Long(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value.into());
    }

    pub(super) fn int(&mut self, value: i32) {
        let Column::Int(values) = self.column(|| Column::Int(Vec::new())) else {
            panic!("a column has one kind of value");
        };
        values.push(value);
    }

    pub(super) fn row_ends(&mut self) {
        assert_eq!(self.next, self.columns.len(), "a row has a value in each column");
        (self.rows, self.next) = (self.rows + 1, 0);
    }
}

/// A file that is written.
pub(super) struct Table<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    group: Group,
    rows_max: usize,
    written: u64,
}

impl<W: Write + Send> Table<W> {
    /// Begins a file with the columns that a message type of Parquet names.
    pub(super) fn begin(out: W, columns: &str) -> anyhow::Result<Table<W>> {
        let schema = Arc::new(parse_message_type(columns).context("the columns of the file")?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("skylink {}", env!("CARGO_PKG_VERSION")));
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties.build())).context(FAILED)?;
        Ok(Table { writer, group: Group::default(), rows_max: GROUP_ROWS_MAX, written: 0 })
    }

    /// Gives what the next rows are added to.
    pub(super) fn group(&mut self) -> &mut Group {
        &mut self.group
    }

    /// Writes the group when it is full.
    pub(super) fn added(&mut self) -> anyhow::Result<()> {
        if self.group.rows >= self.rows_max || self.group.bytes >= GROUP_BYTES {
            self.write()
        } else {
            Ok(())
        }
    }

    /// Writes what is left, sees that all of it is where it goes, and gives that with how many rows the file has.
    pub(super) fn end(mut self) -> anyhow::Result<(u64, W)> {
        if self.group.rows > 0 {
            self.write()?;
        }
        let mut out = self.writer.into_inner().context(FAILED)?;
        out.flush().context(FAILED)?;
        Ok((self.written, out))
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let group = std::mem::take(&mut self.group);
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
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    const COLUMNS: &str = "message row { required int64 long; optional binary text (UTF8); required int32 int; optional int64 some; }";

    fn written(rows: i32, rows_max: usize) -> (u64, SerializedFileReader<Bytes>) {
        let mut table = Table { rows_max, ..Table::begin(Vec::new(), COLUMNS).unwrap() };
        for n in 0..rows {
            let group = table.group();
            group.long(i64::from(n) << 40);
            group.text_or_none((n % 2 == 0).then(|| format!("row {n}")));
            group.int(-n);
            group.long((n % 3 == 0).then_some(7));
            group.row_ends();
            table.added().unwrap();
            assert!(table.group.rows < rows_max, "what is full is written");
        }
        let (count, bytes) = table.end().unwrap();
        (count, SerializedFileReader::new(Bytes::from(bytes)).unwrap())
    }

    #[test]
    fn rows_are_written_group_by_group_and_all_of_them() {
        let (count, file) = written(10, 4);
        let groups: Vec<i64> = file.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!((count, groups), (10, vec![4, 4, 2]));
        let rows: Vec<String> =
            file.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(rows.len(), 10);
        assert_eq!(rows[8], r#"{long: 8796093022208, text: "row 8", int: -8, some: null}"#);
        assert_eq!(rows[9], "{long: 9895604649984, text: null, int: -9, some: 7}");
        let (count, file) = written(0, 4);
        assert_eq!((count, file.metadata().num_row_groups()), (0, 0));
    }
}
