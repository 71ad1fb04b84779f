//! The forms of a journal: plain text as hledger, ledger and beancount read it, and CSV.
//!
//! Inside SkyLink what an account owes somebody is above zero and what a provider holds for the market is below; a
//! bookkeeper writes assets above and liabilities below. So a transfer adds to the account it takes from and takes from
//! the one it gives to, and every balance has the other sign.

use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use commands::Market;
use events::ids::MarketName;
use events::ledger::{LedgerAccount, Transfer};
use events::metadata::Cause;
use events::{Commit, Currency, Head, Money, Recorded, Timestamp};

use crate::output::Output;

/// A program that reads journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// hledger
    Hledger,
    /// beancount
    Beancount,
    /// ledger (the command line program)
    Ledger,
    /// Comma-separated values, one line for each transfer, SkyLink's own names and signs
    Csv,
}

/// Writes a journal, declaring each account and currency before its first use.
pub(super) struct Writer {
    format: Format,
    accounts: BTreeSet<LedgerAccount>,
    currencies: BTreeSet<Currency>,
    /// What money moved through.
    used: BTreeSet<(LedgerAccount, Currency)>,
}

impl Writer {
    /// Begins a journal.
    pub(super) fn begin(format: Format, market: &MarketName, output: &mut Output) -> anyhow::Result<Writer> {
        match format {
            Format::Hledger | Format::Ledger | Format::Beancount => {
                output.line(format_args!("; The ledger of market {market}, written by SkyLink."))?;
                // The only one of them that wants to know them before, when it is told to be pedantic.
                let tags = if format == Format::Ledger { TAGS.as_slice() } else { &[] };
                for tag in tags {
                    output.line(format_args!("tag {tag}"))?;
                }
            }
            Format::Csv => output.line(format_args!(
                "position,time,event,subject,commit,cause,from,to,minor,currency,amount"
            ))?,
        }
        let (accounts, currencies, used) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Writer { format, accounts, currencies, used })
    }

    /// Writes the entries of a commit: one for each event that moves money, and each currency of it.
    pub(super) fn commit(&mut self, commit: &Commit, output: &mut Output) -> anyhow::Result<()> {
        let cause = cause(commit);
        for recorded in commit.events() {
            let transfers = recorded.event.transfers();
            if transfers.is_empty() {
                continue;
            }
            if self.format != Format::Csv {
                output.line(format_args!(""))?;
            }
            self.declare(commit.time(), transfers, output)?;
            // What was changed from one currency into another is an entry in each, which balances by itself: some of these
            // programs would make a price of the two.
            for transfers in transfers.chunk_by(|one, next| one.amount.currency == next.amount.currency) {
                let entry = Entry { commit, recorded, transfers, cause: &cause };
                match self.format {
                    Format::Hledger | Format::Ledger => entry.plain(output)?,
                    Format::Beancount => entry.beancount(output)?,
                    Format::Csv => entry.csv(output)?,
                }
            }
        }
        Ok(())
    }

    /// Ends the journal by asserting what the market holds behind the last entry, in every account that was ever used.
    pub(super) fn end(&self, head: Head, market: &Market, output: &mut Output) -> anyhow::Result<()> {
        let time = market.time;
        let balances = || {
            let held = |(account, currency): &_| (*account, market.ledger.balance(*account, *currency));
            self.used.iter().map(held)
        };
        let comment = format!("Balances of the market at position {}, hash {}", head.position, head.hash);
        match self.format {
            Format::Csv => {}
            Format::Hledger | Format::Ledger if self.used.is_empty() => {
                output.line(format_args!("\n; {comment}: none"))?;
            }
            Format::Hledger | Format::Ledger => {
                output.line(format_args!("\n; {comment}"))?;
                output.line(format_args!("{} * balances", Day(time)))?;
                for (account, money) in balances() {
                    let zero = Money::zero(money.currency);
                    output.line(format_args!("    {}  {zero} = {}", Name(account), negated(money)))?;
                }
            }
            Format::Beancount => {
                output.line(format_args!("\n; {comment}"))?;
                for (account, money) in balances() {
                    // An assertion holds at the beginning of its day; `~ 0`: to the last minor unit.
                    let day = Day(time.plus_ms(DAY_MS));
                    let Money { currency, .. } = money;
                    let amount = decimal(negated(money));
                    output.line(format_args!("{day} balance {}  {amount} ~ 0 {currency}", Name(account)))?;
                }
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        time: Timestamp,
        transfers: &[Transfer],
        output: &mut Output,
    ) -> anyhow::Result<()> {
        for transfer in transfers {
            let currency = transfer.amount.currency;
            if self.currencies.insert(currency) {
                match self.format {
                    Format::Hledger => {
                        let places = "0".repeat(currency.exponent() as usize);
                        output.line(format_args!("commodity 1000.{places} {currency}"))?;
                    }
                    Format::Ledger => output.line(format_args!("commodity {currency}"))?,
                    Format::Beancount => {
                        output.line(format_args!("{} commodity {currency}", Day(time)))?;
                    }
                    Format::Csv => {}
                }
            }
            for account in [transfer.from, transfer.to] {
                self.used.insert((account, currency));
                if self.accounts.insert(account) {
                    match self.format {
                        Format::Hledger | Format::Ledger => {
                            output.line(format_args!("account {}", Name(account)))?;
                        }
                        Format::Beancount => {
                            output.line(format_args!("{} open {}", Day(time), Name(account)))?;
                        }
                        Format::Csv => {}
                    }
                }
            }
        }
        Ok(())
    }
}

const DAY_MS: i64 = 86_400_000;

/// What is told of each entry.
const TAGS: [&str; 4] = ["time", "subject", "commit", "cause"];

/// An event that moves money.
struct Entry<'a> {
    commit: &'a Commit,
    recorded: &'a Recorded,
    transfers: &'a [Transfer],
    cause: &'a str,
}

impl Entry<'_> {
    /// What hledger and ledger both read.
    fn plain(&self, output: &mut Output) -> anyhow::Result<()> {
        let Recorded { position, metadata, .. } = self.recorded;
        let day = Day(self.commit.time());
        output.line(format_args!("{day} * ({position}) {}", metadata.type_name))?;
        for (name, value) in self.tags() {
            output.line(format_args!("    ; {name}: {value}"))?;
        }
        self.postings(output)
    }

    fn beancount(&self, output: &mut Output) -> anyhow::Result<()> {
        let Recorded { position, metadata, .. } = self.recorded;
        output.line(format_args!("{} * \"{}\"", Day(self.commit.time()), metadata.type_name))?;
        output.line(format_args!("  position: {position}"))?;
        for (name, value) in self.tags() {
            output.line(format_args!("  {name}: \"{value}\""))?;
        }
        self.postings(output)
    }

    fn postings(&self, output: &mut Output) -> anyhow::Result<()> {
        for Transfer { amount, from, to } in self.transfers {
            output.line(format_args!("    {}  {amount}", Name(*from)))?;
            output.line(format_args!("    {}  {}", Name(*to), negated(*amount)))?;
        }
        Ok(())
    }

    fn csv(&self, output: &mut Output) -> anyhow::Result<()> {
        let Recorded { position, metadata, .. } = self.recorded;
        // No field of these can hold a comma or a quotation mark.
        let (time, event, commit, cause) =
            (self.commit.time(), &metadata.type_name, self.commit.id(), self.cause);
        let subject = metadata.subject.as_deref().unwrap_or_default();
        for Transfer { amount, from, to } in self.transfers {
            let (minor, currency, decimal) = (amount.minor, amount.currency, decimal(*amount));
            output.line(format_args!(
                "{position},{time},{event},{subject},{commit},{cause},{from},{to},{minor},{currency},{decimal}"
            ))?;
        }
        Ok(())
    }

    fn tags(&self) -> impl Iterator<Item = (&'static str, String)> {
        let subject = self.recorded.metadata.subject.clone();
        let values = [
            Some(self.commit.time().to_string()),
            subject,
            Some(self.commit.id().to_string()),
            Some(self.cause.to_owned()),
        ];
        TAGS.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Says what made the market decide a commit.
fn cause(commit: &Commit) -> String {
    match &commit.start().cause {
        Cause::Command(stamp) => format!("command {} of account {}", stamp.command, stamp.account),
        Cause::Deadline(deadline) => format!("deadline of {}", deadline.due),
        Cause::Writer(writer) => format!("writer {writer}"),
    }
}

fn negated(money: Money) -> Money {
    Money::new(-money.minor, money.currency)
}

/// Writes an amount without its currency.
fn decimal(money: Money) -> String {
    let text = money.to_string();
    text.split_once(' ').map_or(text.clone(), |(amount, _)| amount.to_owned())
}

/// A day of UTC, as all of these programs write it.
struct Day(Timestamp);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string()[.."2025-07-29".len()])
    }
}

/// An account in a bookkeeper's chart. Ids are in capitals: a part of a name in beancount begins with one or a digit.
struct Name(LedgerAccount);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |id: uuid::Uuid| id.hyphenated().to_string().to_uppercase();
        match self.0 {
            LedgerAccount::Wallet(account) => write!(f, "Liabilities:Wallet:{}", id(account.uuid())),
            LedgerAccount::Escrow(order) => write!(f, "Liabilities:Escrow:{}", id(order.uuid())),
            LedgerAccount::Dispute(order) => write!(f, "Liabilities:Dispute:{}", id(order.uuid())),
            LedgerAccount::SellerAvailable(account) => {
                write!(f, "Liabilities:Seller:{}:Available", id(account.uuid()))
            }
            LedgerAccount::SellerReserve(account) => {
                write!(f, "Liabilities:Seller:{}:Reserve", id(account.uuid()))
            }
            LedgerAccount::SellerReceivable(account) => {
                write!(f, "Assets:Seller:{}:Receivable", id(account.uuid()))
            }
            LedgerAccount::BuyerReceivable(account) => {
                write!(f, "Assets:Buyer:{}:Receivable", id(account.uuid()))
            }
            LedgerAccount::PlatformExpense => f.write_str("Expenses:Losses"),
            LedgerAccount::ProviderFees(account) => {
                write!(f, "Assets:Provider:{}:Fees", id(account.uuid()))
            }
            LedgerAccount::ProviderChargebacks(account) => {
                write!(f, "Assets:Provider:{}:Chargebacks", id(account.uuid()))
            }
            LedgerAccount::PlatformFees => f.write_str("Income:Fees"),
            LedgerAccount::PlatformTax => f.write_str("Liabilities:Tax"),
            LedgerAccount::PlatformPromotions => f.write_str("Expenses:Promotions"),
            LedgerAccount::RefundsPayable => f.write_str("Liabilities:Refunds:Payable"),
            LedgerAccount::Payout(payout) => write!(f, "Liabilities:Payout:{}", id(payout.uuid())),
            LedgerAccount::ProviderClearing(account) => {
                write!(f, "Assets:Provider:{}:Clearing", id(account.uuid()))
            }
        }
    }
}
