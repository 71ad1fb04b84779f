//! The index of words on disk (tantivy): which listings have a word in their title or in what is said of them, and which
//! labels they bear. It can be deleted at any time; the view of listings makes it again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use events::Head;
use events::Position;
use events::search::Category;
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::fastfield::AliveBitSet;
use tantivy::index::SegmentId;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, InvertedIndexReader, ReloadPolicy, SegmentReader,
    TantivyDocument, TantivyError, Term,
};

use super::text::{beginning, words};
use crate::listing::Offer;

/// The version of what stands in the index; with another one it is made again.
const FORM: u32 = 1;
/// Memory that gathers words before they are written, in bytes.
const WRITER_BYTES: usize = 24 * 1024 * 1024;
/// Segments of about one size that are merged into one. Fewer would merge more often beside searches, more would make each
/// search look at more segments.
const SEGMENTS_MERGED: usize = 6;
/// The part of a segment's listings that may have been replaced before it is written anew.
const REPLACED_PART_MAX: f32 = 0.3;
/// Longest beginning of a word that has a list of its own, in letters: more words begin with so few than a search can visit.
pub(super) const BEGINNING_LETTERS_MAX: usize = 3;

/// How far the index has followed the view of listings. Stands in each commit of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// [`FORM`]
    pub(super) form: u32,
    /// Which build of the view.
    pub(super) generation: u64,
    /// Every change of words up to here is in the index.
    pub(super) indexed: Position,
    /// How far the view had read the log.
    pub(super) view: Head,
}

impl Checkpoint {
    pub(super) fn new(generation: u64, indexed: Position, view: Head) -> Self {
        Checkpoint { form: FORM, generation, indexed, view }
    }

    /// Tells whether an index that stands here goes on with a view that stands at `view`.
    fn continues(&self, generation: u64, view: Head) -> bool {
        let is_before = self.view.position < view.position || self.view == view;
        self.form == FORM && self.generation == generation && is_before
    }
}

/// The fields of the index.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    /// The listing's number.
    number: Field,
    /// Words of the title.
    pub(super) title: Field,
    /// Words of everything else.
    pub(super) body: Field,
    /// How words of the title, the tags and the category begin.
    pub(super) beginning: Field,
    /// What can be filtered by.
    pub(super) label: Field,
    /// How many words the title has.
    length: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexing =
        TextFieldIndexing::default().set_index_option(IndexRecordOption::Basic).set_fieldnorms(false);
    let of_words = || TextOptions::default().set_indexing_options(indexing.clone());
    let fields = Fields {
        number: schema.add_u64_field("number", INDEXED | FAST),
        title: schema.add_text_field("title", of_words()),
        body: schema.add_text_field("body", of_words()),
        beginning: schema.add_text_field("beginning", of_words()),
        label: schema.add_text_field("label", STRING | FAST),
        length: schema.add_u64_field("length", FAST),
    };
    (schema.build(), fields)
}

/// Stands between the parts of a label.
const PART: char = '\u{1f}';

/// Something a listing can be filtered by, as it is written in the index. What it is made of has no control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label<'a> {
    /// It belongs to a category.
    Category(&'a str),
    /// It bears a tag.
    Tag(&'a str),
    /// It has an attribute.
    Attribute(&'a str, &'a str),
}

impl<'a> Label<'a> {
    pub(super) fn write(self) -> String {
        match self {
            Label::Category(category) => format!("c{PART}{category}"),
            Label::Tag(tag) => format!("t{PART}{tag}"),
            Label::Attribute(name, value) => format!("a{PART}{name}{PART}{value}"),
        }
    }
}

/// Tells one kind of labels from another: categories, tags, and the attributes of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FacetNumber(u32);

/// What a facet is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum FacetName {
    Category,
    Tag,
    Attribute(String),
}

/// A label that a listing bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Borne {
    /// The number of the label.
    pub(super) label: u32,
    /// What kind of label it is.
    pub(super) facet: FacetNumber,
}

/// Labels by number, as they are met while segments are opened. Only grows.
#[derive(Default)]
pub(super) struct Labels {
    known: HashMap<Arc<str>, Borne>,
    /// The label of each number.
    names: Vec<(Arc<str>, FacetNumber)>,
    facet_numbers: HashMap<FacetName, FacetNumber>,
    /// The facet of each number.
    facets: Vec<FacetName>,
}

impl Labels {
    /// Gives how many labels were met; each has a number below.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Finds a label; none: it was not met.
    pub(super) fn find(&self, label: Label<'_>) -> Option<Borne> {
        self.known.get(label.write().as_str()).copied()
    }

    /// Gives the facet that a label is of; none: no label of it was met.
    pub(super) fn facet_of(&self, label: Label<'_>) -> Option<FacetNumber> {
        self.facet_numbers.get(&facet_and_value(&label.write()).0).copied()
    }

    /// Gives what a facet is of.
    pub(super) fn facet(&self, facet: FacetNumber) -> &FacetName {
        &self.facets[facet.0 as usize]
    }

    /// Gives the facet that the label of a number is of, and its value.
    pub(super) fn facet_and_value(&self, label: u32) -> (FacetNumber, &str) {
        let (name, facet) = &self.names[label as usize];
        (*facet, facet_and_value(name).1)
    }

    fn number(&mut self, name: &str) -> Borne {
        if let Some(borne) = self.known.get(name) {
            return *borne;
        }
        let next = FacetNumber(u32::try_from(self.facets.len()).expect("facets are fewer than labels"));
        let (facet_name, _) = facet_and_value(name);
        let facet = *self.facet_numbers.entry(facet_name.clone()).or_insert(next);
        if facet == next {
            self.facets.push(facet_name);
        }
        let label = u32::try_from(self.names.len()).expect("labels are fewer than memory has bytes");
        let name: Arc<str> = name.into();
        self.names.push((Arc::clone(&name), facet));
        self.known.insert(name, Borne { label, facet });
        Borne { label, facet }
    }
}

/// Reads what [`Label::write`] has written.
fn facet_and_value(name: &str) -> (FacetName, &str) {
    let (kind, rest) = name.split_once(PART).unwrap_or_default();
    match (kind, rest.split_once(PART)) {
        ("a", Some((name, value))) => (FacetName::Attribute(name.to_owned()), value),
        ("c", _) => (FacetName::Category, rest),
        _ => (FacetName::Tag, rest),
    }
}

/// What is read of a segment once and never changes.
pub(super) struct Columns {
    /// The listing of each document.
    pub(super) numbers: Vec<u32>,
    /// How many words the title of each has, 255 at most.
    pub(super) lengths: Vec<u8>,
    /// Where the labels of each document begin; one more than there are documents.
    label_starts: Vec<u32>,
    labels: Vec<Borne>,
}

impl Columns {
    pub(super) fn labels(&self, document: u32) -> &[Borne] {
        let at = document as usize;
        &self.labels[self.label_starts[at] as usize..self.label_starts[at + 1] as usize]
    }
}

/// A segment, ready to be searched.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) documents: u32,
    pub(super) columns: Arc<Columns>,
    pub(super) alive: Option<AliveBitSet>,
    pub(super) title: Arc<InvertedIndexReader>,
    pub(super) body: Arc<InvertedIndexReader>,
    pub(super) beginning: Arc<InvertedIndexReader>,
    pub(super) label: Arc<InvertedIndexReader>,
}

impl Segment {
    pub(super) fn is_alive(&self, document: u32) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(document))
    }
}

/// The index at one of its commits.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) segments: Vec<Segment>,
}

/// Reads the index's commits.
pub(super) struct Reader {
    reader: IndexReader,
    fields: Fields,
    labels: Arc<RwLock<Labels>>,
    columns: HashMap<SegmentId, Arc<Columns>>,
}

impl Reader {
    /// Gives the newest commit.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot, TantivyError> {
        self.reader.reload()?;
        let searcher = self.reader.searcher();
        let mut known = HashMap::with_capacity(searcher.segment_readers().len());
        let mut segments = Vec::with_capacity(searcher.segment_readers().len());
        for reader in searcher.segment_readers() {
            let id = reader.segment_id();
            let columns = match self.columns.get(&id) {
                Some(columns) => Arc::clone(columns),
                None => Arc::new(self.columns_of(reader)?),
            };
            known.insert(id, Arc::clone(&columns));
            segments.push(Segment {
                documents: reader.max_doc(),
                columns,
                alive: reader.alive_bitset().cloned(),
                title: reader.inverted_index(self.fields.title)?,
                body: reader.inverted_index(self.fields.body)?,
                beginning: reader.inverted_index(self.fields.beginning)?,
                label: reader.inverted_index(self.fields.label)?,
            });
        }
        self.columns = known;
        Ok(Snapshot { segments })
    }

    fn columns_of(&self, reader: &SegmentReader) -> Result<Columns, TantivyError> {
        let documents = reader.max_doc();
        let fast = reader.fast_fields();
        let (number, length) = (fast.u64("number")?, fast.u64("length")?);
        let read = |document| number.first(document).and_then(|number| u32::try_from(number).ok());
        let numbers = (0..documents).map(|document| read(document).unwrap_or(u32::MAX)).collect();
        let read = |document| length.first(document).map(|length| u8::try_from(length).unwrap_or(u8::MAX));
        let lengths = (0..documents).map(|document| read(document).unwrap_or(0)).collect();
        let mut columns = Columns { numbers, lengths, label_starts: vec![0], labels: Vec::new() };
        let Some(column) = fast.str("label")? else {
            columns.label_starts.resize(documents as usize + 1, 0);
            return Ok(columns);
        };
        let mut names = Vec::with_capacity(column.num_terms());
        for ordinal in 0..column.num_terms() as u64 {
            let mut name = String::new();
            column.ord_to_str(ordinal, &mut name)?;
            names.push(name);
        }
        let numbers = self.numbers_of(&names);
        for document in 0..documents {
            columns.labels.extend(column.term_ords(document).map(|ordinal| numbers[ordinal as usize]));
            let end = u32::try_from(columns.labels.len()).expect("a segment has fewer labels than that");
            columns.label_starts.push(end);
        }
        Ok(columns)
    }

    /// Numbers labels. Searches wait for who writes new ones, so those that are known are looked up before.
    fn numbers_of(&self, names: &[String]) -> Vec<Borne> {
        let known: Vec<Option<Borne>> = {
            let labels = self.labels.read().unwrap_or_else(PoisonError::into_inner);
            names.iter().map(|name| labels.known.get(name.as_str()).copied()).collect()
        };
        let mut labels = self.labels.write().unwrap_or_else(PoisonError::into_inner);
        let named = known.into_iter().zip(names);
        named.map(|(known, name)| known.unwrap_or_else(|| labels.number(name))).collect()
    }
}

/// Writes the index.
pub(super) struct Writer {
    writer: IndexWriter,
    fields: Fields,
}

/// An index that was opened.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) labels: Arc<RwLock<Labels>>,
    /// How far it has followed the view; none: it is empty.
    pub(super) checkpoint: Option<Checkpoint>,
}

/// Opens the index at `dir` for a view that stands at `view`. One that is not there, is damaged, or does not go on there, is
/// made anew.
pub(super) fn open(dir: &Path, generation: u64, view: Head) -> Result<Opened, TantivyError> {
    match try_open(dir) {
        Ok(opened) if opened.checkpoint.is_some_and(|found| found.continues(generation, view)) => Ok(opened),
        found => {
            match found {
                Ok(Opened { checkpoint: None, .. }) => {}
                Ok(_) => tracing::info!("the index of words is of another state, and is made again"),
                Err(error) => {
                    tracing::warn!(%error, "the index of words can't be opened, and is made again");
                }
            }
            match std::fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            try_open(dir)
        }
    }
}

fn try_open(dir: &Path) -> Result<Opened, TantivyError> {
    std::fs::create_dir_all(dir)?;
    let (schema, fields) = schema();
    let settings = IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
    let directory = MmapDirectory::open(dir)?;
    let index = Index::builder().schema(schema).settings(settings).open_or_create(directory)?;
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(WRITER_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer: IndexWriter = index.writer_with_options(options)?;
    let mut merges = LogMergePolicy::default();
    merges.set_min_num_segments(SEGMENTS_MERGED);
    merges.set_del_docs_ratio_before_merge(REPLACED_PART_MAX);
    writer.set_merge_policy(Box::new(merges));
    let payload = index.load_metas()?.payload;
    let checkpoint = payload.and_then(|payload| serde_json::from_str(&payload).ok());
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    let labels = Arc::new(RwLock::new(Labels::default()));
    let reader = Reader { reader, fields, labels: Arc::clone(&labels), columns: HashMap::new() };
    Ok(Opened { writer: Writer { writer, fields }, reader, labels, checkpoint })
}

impl Writer {
    /// Waits until nothing is written any more: whoever opens the folder next, or removes it, has it for himself.
    pub(super) fn close(self) -> Result<(), TantivyError> {
        self.writer.wait_merging_threads()
    }

    /// Puts a listing into the index in place of what is there of it.
    pub(super) fn put(&self, offer: &Offer) -> Result<(), TantivyError> {
        self.remove(offer.words.number);
        self.writer.add_document(self.document(offer))?;
        Ok(())
    }

    /// Takes a listing out of the index.
    pub(super) fn remove(&self, number: u32) {
        self.writer.delete_term(Term::from_field_u64(self.fields.number, u64::from(number)));
    }

    /// Takes every listing out of the index.
    pub(super) fn clear(&self) -> Result<(), TantivyError> {
        self.writer.delete_all_documents()?;
        Ok(())
    }

    /// Makes durable what was put in, and says how far it goes.
    pub(super) fn commit(&mut self, checkpoint: Checkpoint) -> Result<(), TantivyError> {
        let payload = serde_json::to_string(&checkpoint).expect("numbers and a hash can be written");
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        Ok(())
    }

    fn document(&self, Offer { listing, words: said, .. }: &Offer) -> TantivyDocument {
        let fields = self.fields;
        let mut document = TantivyDocument::default();
        document.add_u64(fields.number, u64::from(said.number));
        let title = folded(&listing.title);
        document.add_u64(fields.length, title.len() as u64);
        let category = said.category.as_ref().map(Category::as_str).unwrap_or_default();
        let mut prominent = folded(category);
        said.tags.iter().for_each(|tag| prominent.extend(folded(tag)));
        let mut body = prominent.clone();
        body.extend(folded(said.description.as_deref().unwrap_or_default()));
        let own = listing.variant.iter().flat_map(|variant| &variant.attributes);
        for (name, value) in said.attributes.iter().chain(own) {
            body.extend(folded(value));
            document.add_text(fields.label, Label::Attribute(name, value).write());
        }
        let mut beginnings = Vec::new();
        for word in title.iter().chain(&prominent) {
            let of_length = (1..=BEGINNING_LETTERS_MAX).filter_map(|letters| beginning(word, letters));
            beginnings.extend(of_length.map(str::to_owned));
        }
        for category in said.category.iter().flat_map(Category::and_wider) {
            document.add_text(fields.label, Label::Category(category).write());
        }
        for tag in &said.tags {
            document.add_text(fields.label, Label::Tag(tag).write());
        }
        for (field, words) in [(fields.title, title), (fields.body, body), (fields.beginning, beginnings)] {
            document.add_pre_tokenized_text(field, tokens(words));
        }
        document
    }
}

fn folded(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| word.folded).collect()
}

/// Each word once: nothing asks how often or where it stands.
fn tokens(mut words: Vec<String>) -> PreTokenizedString {
    words.sort_unstable();
    words.dedup();
    let tokens = words.into_iter().enumerate().map(|(position, text)| Token {
        offset_from: 0,
        offset_to: 0,
        position,
        text,
        position_length: 1,
    });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}
