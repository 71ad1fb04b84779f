//! Reading the file: rows of `customer yyyymmdd units dollars`, plain or gzipped.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use events::{Currency, Money, Quantity, Timestamp};
use flate2::read::MultiGzDecoder;

/// Largest file that is read, in bytes after unpacking.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What a gzipped file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A purchase as the file tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purchase {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    /// Who bought.
    pub(crate) customer: u32,
    /// The midnight its day begins with.
    pub(crate) day: Timestamp,
    /// How many.
    pub(crate) units: Quantity,
    /// What was paid for all of them; it may be nothing.
    pub(crate) total: Money,
}

/// A row that is no purchase.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct RefusedRow {
    /// Its line in the file, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) rule: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The purchases, in the file's order.
    pub(crate) purchases: Vec<Purchase>,
    /// The rows that are none.
    pub(crate) refused: Vec<RefusedRow>,
}

/// Reads a file, at most its first `limit` rows.
pub(crate) fn read_file(path: &Path, limit: Option<usize>) -> anyhow::Result<Rows> {
    let named = || format!("{} can't be read", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(named)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(named)?;
    read(&bytes, limit).with_context(named)
}

/// Reads the bytes of a file, at most its first `limit` rows.
pub(crate) fn read(bytes: &[u8], limit: Option<usize>) -> anyhow::Result<Rows> {
    let mut plain = Vec::new();
    let text = if bytes.starts_with(&GZIP_MAGIC) {
        MultiGzDecoder::new(bytes)
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut plain)
            .context("it is no whole gzip file")?;
        plain.as_slice()
    } else {
        bytes
    };
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("it is larger than {FILE_BYTES_MAX} bytes: split it");
    }
    let usd: Currency = "USD".parse()?;
    let mut rows = Rows::default();
    let lines = text.split(|byte| *byte == b'\n').zip(1usize..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    let is_header = |line: &[u8], number| number == 1 && line.trim_ascii()[0].is_ascii_alphabetic();
    let data = lines.filter(|(line, number)| !is_header(line, *number));
    for (line, number) in data.take(limit.unwrap_or(usize::MAX)) {
        match read_row(line, number, usd) {
            Ok(purchase) => rows.purchases.push(purchase),
            Err(rule) => rows.refused.push(RefusedRow { line: number, rule }),
        }
    }
    Ok(rows)
}

fn read_row(line: &[u8], number: usize, usd: Currency) -> Result<Purchase, String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not text in UTF-8".to_owned())?;
    let columns: Vec<&str> = text.split_ascii_whitespace().collect();
    let [customer, date, units, dollars] = columns[..] else {
        return Err(format!("a row must have 4 columns, not {}", columns.len()));
    };
    let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let short = |text: &str| text.chars().take(32).collect::<String>();
    let customer = Some(customer).filter(|text| whole(text)).and_then(|text| text.parse().ok());
    let customer = customer.ok_or_else(|| format!("`{}` is no customer number", short(columns[0])))?;
    let day = read_day(date).ok_or_else(|| format!("`{}` is no date such as 19970131", short(date)))?;
    let count = Some(units).filter(|text| whole(text)).and_then(|text| text.parse().ok());
    let count = count.ok_or_else(|| format!("`{}` is no number of units", short(units)))?;
    let units = Quantity::new(count).map_err(|error| error.to_string())?;
    let total = Money::parse_decimal(dollars, usd).map_err(|error| error.to_string())?;
    if dollars.starts_with('-') {
        return Err(format!("`{}` is less than nothing", short(dollars)));
    }
    Ok(Purchase { line: number, customer, day, units, total })
}

fn read_day(date: &str) -> Option<Timestamp> {
    if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let midnight = format!("{}-{}-{}T00:00:00Z", &date[..4], &date[4..6], &date[6..]);
    // A UUIDv7 tells no time before 1970.
    Timestamp::parse_rfc3339(&midnight).ok().filter(|day| day.ms() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_exactly_and_bad_ones_are_told_by_line() {
        let text = b"customer_id date number_of_cds dollar_value\r\n 00001 19970101  1   11.77\r\n\r\n\
            00002 19970112 5 77\n00002 19970230 1 1.00\n1 19970101 1\n1 19970101 1 -1.00\n1 19970101 0 1.00\n\
            1 19970101 1 1.005\n1 19970101 -1 1.00\nx 19970101 1 1.00\n1 19970101 1 0.00\n\xff 1 1 1";
        let rows = read(text, None).unwrap();
        let found: Vec<_> =
            rows.purchases.iter().map(|row| (row.line, row.customer, row.total.minor)).collect();
        assert_eq!(found, [(2, 1, 1177), (4, 2, 7700), (12, 1, 0)]);
        assert_eq!(rows.purchases[0].day.to_string(), "1997-01-01T00:00:00.000Z");
        let refused: Vec<_> = rows.refused.iter().map(|row| row.line).collect();
        assert_eq!(refused, [5, 6, 7, 8, 9, 10, 11, 13]);
        assert_eq!(read(text, Some(2)).unwrap().purchases.len(), 2);
    }

    #[test]
    fn a_cut_gzip_file_is_an_error() {
        assert!(read(&[0x1f, 0x8b, 8, 0, 0], None).is_err());
    }
}
