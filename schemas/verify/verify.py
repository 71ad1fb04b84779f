#!/usr/bin/env python3
"""Checks a receipt of a SkyLink market offline, with the market's public key and nothing of SkyLink.

    verify.py receipt  RECEIPT.json KEY [KEYS.json]
                                             a receipt, and its proof that it is in the log, if it has one
    verify.py checkpoint NOTE KEY [KEYS.json]
                                             a signed checkpoint
    verify.py consistency OLD.note NEW.note PROOF.json KEY [KEYS.json]
                                             that the log only appended to what it was

KEY is a JWK, or a set of them such as /.well-known/jwks.json gives: all of them are trusted. KEYS.json is what /log/keys gives: of
it, keys that those of KEY have announced are trusted too, and no others. Exit code: 0 it holds, 1 it does not, 2 it can't be read.
Needs python3 and the package `cryptography`; all else is written here, so that it can be read in one sitting. The forms are
described in docs/signing.md and docs/transparency.md.
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

RECEIPTS_TYP = "skylink-receipts+jws"
RECEIPT_VERSION = 2
MARKET_KEY_TYP = "skylink-market-key+jws"
ED25519 = 1


class Wrong(Exception):
    """What was checked does not hold, or can't be what it claims to be."""


def require(holds, what):
    if not holds:
        raise Wrong(what)


# Reading.


def load(text):
    """Reads JSON in which no name stands twice and no number is none that JSON in every language keeps."""

    def members(pairs):
        require(len({name for name, _ in pairs}) == len(pairs), "a name stands twice in the JSON")
        return dict(pairs)

    def never(number):
        raise Wrong(f"the JSON has a number that is no whole one: {number}")

    return json.loads(text, object_pairs_hook=members, parse_float=never, parse_constant=never)


def canonical(value):
    """Writes JSON as RFC 8785 does. All that receipts hold are texts, whole numbers, lists and objects."""
    if isinstance(value, dict):
        # RFC 8785 sorts by UTF-16 code units.
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(name) + ":" + canonical(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def base64url(text):
    require(isinstance(text, str) and "=" not in text, "base64url has no padding")
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == text, "base64url has one spelling")
    return decoded


def hash_of(text):
    require(isinstance(text, str) and len(text) == 64 and text == text.lower(), "a hash has 64 hexadecimal digits")
    return bytes.fromhex(text)


def number(value):
    require(type(value) is int and 0 <= value < 2**53, "a number is whole and not below zero")
    return value


# Keys and signatures.


def market_keys(jwk):
    """Takes a JWK, or a set of them, all of which are trusted."""
    keys = [market_key(one) for one in jwk.get("keys", [jwk])]
    require(keys, "the set has a key")
    return keys


def market_key(jwk):
    """Takes a JWK."""
    if jwk["kty"] == "OKP":
        require(jwk["crv"] == "Ed25519", "an OKP key is of Ed25519")
        named = {"crv": "Ed25519", "kty": "OKP", "x": jwk["x"]}
        key = ed25519.Ed25519PublicKey.from_public_bytes(base64url(jwk["x"]))
        alg = "EdDSA"
    else:
        require((jwk["kty"], jwk["crv"]) == ("EC", "P-256"), "an EC key is of P-256")
        named = {"crv": "P-256", "kty": "EC", "x": jwk["x"], "y": jwk["y"]}
        x, y = (int.from_bytes(base64url(jwk[name]), "big") for name in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        alg = "ES256"
    thumbprint = hashlib.sha256(canonical(named).encode()).digest()
    return {"key": key, "alg": alg, "kid": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()}


def check_signature(key, message, signature):
    require(len(signature) == 64, "a signature has 64 bytes")
    try:
        if key["alg"] == "EdDSA":
            key["key"].verify(signature, message)
        else:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key["key"].verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Wrong("the signature is wrong") from None


def read_jws(text, typ, keys):
    """Checks a compact JWS of one of the market's keys and gives its payload."""
    parts = text.split(".")
    require(len(parts) == 3, "a JWS has three parts")
    header = load(base64url(parts[0]))
    key = next((key for key in keys if key["kid"] == header["kid"]), None)
    require(key, "the JWS is not signed with the market's key, or with one that follows it as far as is known here")
    require(header == {"alg": key["alg"], "kid": key["kid"], "typ": typ}, "the JWS is not signed with the market's key")
    check_signature(key, f"{parts[0]}.{parts[1]}".encode(), base64url(parts[2]))
    return load(base64url(parts[1]))


def follow(keys, announcements, market):
    """Adds the keys that those that are trusted have announced, in the order of the log."""
    keys, followed = list(keys), {}
    for words in announcements:
        require(set(words) == {"announcement", "proof"}, "an announcement has another form")
        claimed = load(base64url(words["announcement"].split(".")[0]))["kid"]
        previous = next((key for key in keys if key["kid"] == claimed), None)
        if previous is None:
            continue
        said = read_jws(words["announcement"], MARKET_KEY_TYP, [previous])
        require(set(said) == {"aud", "key", "previous", "v"} and said["v"] == 1, "an announcement has another form")
        require((said["aud"], said["previous"]) == (market, claimed), "an announcement is of another market or key")
        new = market_key(said["key"])
        require(read_jws(words["proof"], MARKET_KEY_TYP, [new]) == said, "a new key has not signed its announcement")
        require(followed.setdefault(claimed, new["kid"]) == new["kid"], "a key has announced two others")
        if all(key["kid"] != new["kid"] for key in keys):
            keys.append(new)
    return keys


# Merkle trees of RFC 6962.


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_path(leaf, index, size, path):
    """Computes the root that a leaf and its path lead to (RFC 9162, 2.1.3.2)."""
    require(index < size, "the leaf is not in the tree")
    at, last, node = index, size - 1, leaf
    for sibling in path:
        require(last > 0, "the path is too long")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    require(last == 0, "the path is too short")
    return node


def check_consistency(old_size, old_root, new_size, new_root, path):
    """Checks that the larger tree begins with the smaller one (RFC 9162, 2.1.4.2)."""
    require(0 < old_size <= new_size, "the older log is the shorter one, and has an event")
    if old_size == new_size:
        require(old_root == new_root and not path, "two logs of one length are the same")
        return
    path = list(path)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    require(path, "the path is too short")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        require(last > 0, "the path is too long")
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    require(last == 0 and (old, new) == (old_root, new_root), "the log was changed, and not only appended to")


# What is checked.


def market_of(note):
    """Tells which market a note says it is of."""
    return note.split("\n")[0].removeprefix("skylink/")


def read_checkpoint(note, keys, market=None):
    """Checks a signed note and gives the market, the number of events and the root that it signs."""
    keys = [key for key in keys if key["alg"] == "EdDSA"]
    require(keys, "checkpoints are signed with Ed25519")
    text, parted, signatures = note.partition("\n\n")
    require(parted and signatures.endswith("\n"), "a signed note has an empty line before its signatures")
    text += "\n"
    lines = text.split("\n")[:-1]
    require(len(lines) == 4 and lines[3].startswith("commit "), "a checkpoint has four lines")
    origin, size, root = lines[0], lines[1], base64.b64decode(lines[2], validate=True)
    require(origin.startswith("skylink/") and market in (None, origin[8:]), "the checkpoint is of another log")
    require(size.isascii() and size.isdigit() and str(int(size)) == size, "the size is a number")
    require(len(root) == 32 and base64.b64encode(root).decode() == lines[2], "the root is a hash in base64")
    named = origin.encode() + b"\n" + bytes([ED25519])
    known = {hashlib.sha256(named + key["key"].public_bytes_raw()).digest()[:4]: key for key in keys}
    signed = False
    for line in signatures[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        signature = base64.b64decode(encoded, validate=True)
        require(dash == "\u2014" and len(signature) > 4, "a line of a signature can't be read")
        if name == origin and signature[:4] in known:
            check_signature(known[signature[:4]], text.encode(), signature[4:])
            signed = True
    require(signed, "the checkpoint is not signed with the market's key")
    return origin[8:], int(size), root


def check_receipt(proof, keys):
    """Checks a receipt and gives what it says, and over how many events the log is proven that it is in; none, if it is not."""
    require(set(proof) <= {"group", "index", "log", "path", "receipt", "replayed"}, "it holds more than a receipt")
    group, body = read_jws(proof["group"], RECEIPTS_TYP, keys), proof["receipt"]
    require(set(group) == {"head", "market", "root", "size", "v"}, "the group has another form")
    require(group["v"] == body["v"] == RECEIPT_VERSION, "the receipt has another form")
    position = number(body["position"])
    require(body["market"] == group["market"] and position <= group["head"]["position"], "it is of another log")
    path = [hash_of(node) for node in proof["path"]]
    leaf = leaf_hash(canonical(body).encode())
    root = root_from_path(leaf, number(proof["index"]), number(group["size"]), path)
    require(root == hash_of(group["root"]), "the receipt is not in the signed group")
    if "log" not in proof:
        return body, None
    require(set(proof["log"]) == {"checkpoint", "paths"}, "the proof has another form")
    _, size, root = read_checkpoint(proof["log"]["checkpoint"], keys, body["market"])
    paths, events = proof["log"]["paths"], body["events"]
    require(len(paths) == len(events), "there is a path for each event")
    for event, path in zip(events, paths):
        path = [hash_of(node) for node in path]
        found = root_from_path(hash_of(event["leaf"]), number(event["position"]) - 1, size, path)
        require(found == root, f"the event at position {event['position']} is not in the log")
    return body, size


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def trusted(key, more, market):
    """Reads the keys that are trusted, and those that they have announced."""
    announcements = [words for path in more for words in load(read(path))["announcements"]]
    return follow(market_keys(load(read(key))), announcements, market)


def main(arguments):
    match arguments:
        case ["receipt", receipt, key, *more] if len(more) < 2:
            proof = load(read(receipt))
            body, size = check_receipt(proof, trusted(key, more, proof["receipt"]["market"]))
            said = f"{body['name']} {body['command']} of account {body['account']}: {body['outcome']}"
            where = "no proof of the log comes with it" if size is None else f"in the log of {size} events"
            return f"market {body['market']} did decide {said}, at position {body['position']}; {where}"
        case ["checkpoint", note, key, *more] if len(more) < 2:
            note = read(note)
            market, size, root = read_checkpoint(note, trusted(key, more, market_of(note)))
            return f"market {market} signed a log of {size} events, root {root.hex()}"
        case ["consistency", old, new, proof, key, *more] if len(more) < 2:
            old, proof = read(old), load(read(proof))
            keys = trusted(key, more, market_of(old))
            market, old_size, old_root = read_checkpoint(old, keys)
            _, new_size, new_root = read_checkpoint(read(new), keys, market)
            require((proof["from"], proof["to"]) == (old_size, new_size), "the proof is of other checkpoints")
            check_consistency(old_size, old_root, new_size, new_root, [hash_of(node) for node in proof["path"]])
            return f"the log of {new_size} events of market {market} begins with that of {old_size}"
    print(__doc__, file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    try:
        print("holds:", main(sys.argv[1:]))
    except (Wrong, KeyError, TypeError, ValueError, AttributeError) as error:
        print("WRONG:", error if isinstance(error, Wrong) else f"it is not of the form that it must have: {error!r}")
        raise SystemExit(1) from None
    except OSError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
