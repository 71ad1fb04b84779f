use events::account::Algorithm;
use events::commit::Seal;
use events::hash::root_from_path;
use events::ids::{CommitId, WriterId};
use events::market::WriterStarted;
use events::metadata::Cause;
use events::{Event, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// A chain of commits, each of up to three events.
fn commits(events: u64) -> Vec<Arc<Commit>> {
    let writer = WriterId::from_uuid(Uuid::from_u128(1));
    let (mut head, mut chain) = (Head::EMPTY, Vec::new());
    while head.position < events {
        let count = (head.position % 3 + 1).min(events - head.position);
        let started = (0..count).map(|n| -> Event {
            WriterStarted { epoch: head.position + n, version: "test".to_owned(), writer }.into()
        });
        let seal = Seal {
            id: CommitId::from_uuid(Uuid::from_u128(head.position.into())),
            market: "main".parse().unwrap(),
            time: Timestamp::from_ms(0),
            cause: Cause::Writer(writer),
            traceparent: None,
        };
        let commit = Commit::seal(head, seal, started.collect());
        head = commit.head();
        chain.push(Arc::new(commit));
    }
    chain
}

fn leaves(commits: &[Arc<Commit>]) -> Vec<Hash> {
    commits.iter().flat_map(|commit| commit.events()).map(|recorded| recorded.leaf()).collect()
}

/// More than two levels have.
const MANY: u64 = TILE_WIDTH * TILE_WIDTH + 700;

#[test]
fn the_root_is_that_of_the_tree_over_all_leaves() {
    let chain = commits(2_000);
    let all = leaves(&chain);
    let dir = TempDir::new().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    assert_eq!(tree.root().unwrap(), MerkleTree::new(vec![]).root());
    for batch in chain.chunks(7) {
        tree.append(batch).unwrap();
        let size = tree.head().position as usize;
        assert_eq!(tree.root().unwrap(), MerkleTree::new(all[..size].to_vec()).root(), "{size}");
    }
    tree.append(&chain).unwrap();
    assert_eq!(tree.head(), chain.last().unwrap().head(), "what it has is passed over");
}

#[test]
fn every_event_is_proven_to_be_in_the_tree_and_each_tree_to_append_to_those_before() {
    let chain = commits(MANY);
    let all = leaves(&chain);
    let dir = TempDir::new().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.append(&chain).unwrap();
    let reader = tree.reader();
    let root = |size: u64| MerkleTree::new(all[..size as usize].to_vec()).root();
    for size in [1, 2, 255, 256, 257, 65_536, 65_537, MANY] {
        for position in [1, 2, 128, 255, 256, 257, 40_000, 65_536, MANY] {
            let path = reader.inclusion(position, size).unwrap();
            assert_eq!(path.is_some(), position <= size);
            let Some(path) = path else { continue };
            let leaf = all[position as usize - 1];
            assert_eq!(root_from_path(leaf, position - 1, size, &path), Some(root(size)));
        }
        let from_here = reader.consistency(size, MANY).unwrap().unwrap();
        let hash = |hash: Hash| tlog_tiles::Hash(*hash.as_bytes());
        let proof = from_here.into_iter().map(hash).collect();
        tlog_tiles::check_tree(&proof, MANY, hash(root(MANY)), size, hash(root(size))).unwrap();
    }
    assert_eq!(reader.inclusion(0, 5).unwrap(), None);
    assert_eq!(reader.inclusion(1, MANY + 1).unwrap(), None);
    assert_eq!(reader.consistency(0, 5).unwrap(), None);
    assert_eq!(reader.consistency(6, 5).unwrap(), None);
    assert_eq!(reader.consistency(5, MANY + 1).unwrap(), None);
}

#[test]
fn a_tile_has_the_hashes_of_its_nodes_and_is_given_only_as_far_as_the_tree_goes() {
    let chain = commits(600);
    let all = leaves(&chain);
    let dir = TempDir::new().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.append(&chain).unwrap();
    let reader = tree.reader();
    let tile = |level, index, width| reader.tile(&Tile::new(HEIGHT, level, index, width, false)).unwrap();
    let whole: Vec<Hash> = hashes(&tile(0, 1, 256).unwrap()).collect();
    assert_eq!(whole, all[256..512]);
    let part: Vec<Hash> = hashes(&tile(0, 2, 88).unwrap()).collect();
    assert_eq!(part, all[512..600]);
    let above: Vec<Hash> = hashes(&tile(1, 0, 2).unwrap()).collect();
    assert_eq!(above, [MerkleTree::new(all[..256].to_vec()).root(), MerkleTree::new(whole).root()]);
    for (level, index, width) in [(0, 2, 89), (0, 3, 1), (1, 0, 3), (2, 0, 1), (7, u64::MAX >> 8, 1)] {
        assert_eq!(tile(level, index, width), None, "{level} {index} {width}");
    }
}

#[test]
fn a_path_of_a_tile_has_one_spelling() {
    for (path, tile) in [
        ("0/000", Tile::new(HEIGHT, 0, 0, 256, false)),
        ("0/x001/234.p/17", Tile::new(HEIGHT, 0, 1234, 17, false)),
        ("7/005.p/255", Tile::new(HEIGHT, 7, 5, 255, false)),
    ] {
        assert_eq!(tile_of(path), Some(tile), "{path}");
    }
    for path in [
        "",
        "0",
        "0/",
        "0/0",
        "8/000",
        "64/000",
        "255/000",
        "-1/000",
        "00/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/",
        "0/1000",
        "0/x000/001",
        "entries/000",
        "data/000",
        "0/000/",
        "0/999/x999/999",
        "0/x099/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(tile_of(path), None, "{path}");
    }
}

#[test]
fn a_tree_goes_on_from_what_was_saved_and_is_built_anew_when_that_is_not_good() {
    let chain = commits(1_000);
    let dir = TempDir::new().unwrap();
    let (first, rest) = chain.split_at(chain.len() / 2);
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.append(first).unwrap();
    tree.save().unwrap();
    let saved = tree.head();
    // What a crash takes: more was appended and not saved.
    tree.append(rest).unwrap();
    let root = tree.root().unwrap();
    drop(tree);
    let mut again = Tree::open(dir.path()).unwrap();
    assert_eq!(again.head(), saved);
    again.append(rest).unwrap();
    assert_eq!(again.root().unwrap(), root);
    again.save().unwrap();
    drop(again);
    let damaged = File::options().write(true).open(level_path(dir.path(), 0)).unwrap();
    damaged.write_all_at(&[0xff], 999 * 32).unwrap();
    let mut anew = Tree::open(dir.path()).unwrap();
    assert_eq!(anew.head(), Head::EMPTY);
    anew.append(&chain).unwrap();
    assert_eq!(anew.root().unwrap(), root);
    let short = File::options().write(true).open(level_path(dir.path(), 0)).unwrap();
    anew.save().unwrap();
    drop(anew);
    short.set_len(999 * 32).unwrap();
    assert_eq!(Tree::open(dir.path()).unwrap().head(), Head::EMPTY);
}

#[test]
fn a_log_that_is_another_one_is_refused() {
    let chain = commits(10);
    let dir = TempDir::new().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.append(&chain[..2]).unwrap();
    let refused = tree.append(&chain[3..]);
    assert!(matches!(refused, Err(TreeError::Foreign { position: 3, .. })), "{refused:?}");
}

#[test]
fn the_newest_checkpoint_is_that_of_the_tree() {
    let chain = commits(300);
    let dir = TempDir::new().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    let key = Arc::new(SigningKey::from_seed(Algorithm::EdDsa, [7; 32]).unwrap());
    let market = "main".parse().unwrap();
    assert!(tree.reader().latest().is_none());
    tree.append(&chain).unwrap();
    tree.sign(&market, &[Arc::clone(&key)]).unwrap();
    let signed = tree.reader().latest().unwrap();
    let verifier = commands::crypto::VerifyingKey::new(&key.public()).unwrap();
    let read = Checkpoint::read(&signed.note, &market, &verifier).unwrap();
    assert_eq!((read.head, read.root), (tree.head(), tree.root().unwrap()));
    assert_eq!(read, signed.checkpoint);
}
