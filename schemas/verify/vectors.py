#!/usr/bin/env python3
"""Checks what the vectors of schemas/signing say of signatures, with the package `cryptography` and nothing of SkyLink.

    vectors.py KEYS.json VECTORS.json…

Of each case that has its parts it checks that the signature is that of the key over what was signed, or is not, as
`signature_holds` says; that the parts are those of the text; and that the accepted ones are canonical where they must be.
Exit code: 0 all is so, 1 something is not. That a case is refused for another reason than its signature is not looked at.
"""

import json
import sys

from verify import Wrong, base64url, canonical, check_signature, load, market_key, require


def holds(key, message, signature):
    try:
        check_signature(key, message, signature)
        return True
    except (Wrong, ValueError):
        return False


def check_parts(case):
    """Checks that what is said to be the parts of a text is what it is made of."""
    text = case["text"]
    if "signing_input" in case:
        require(text == case["signing_input"] + "." + case["signature"], "the text is made of other parts")
    elif case["verdict"] == "accepted":
        signed = json.loads(text)
        require(signed.pop("signature") == case["signature"], "the text has another signature")
        if "." not in case["canonical"]:
            require(canonical(signed) == case["canonical"], "what was signed is not canonical")


def is_anothers(case, key):
    """Tells whether a text names another key than signed, or is not what was signed."""
    if "header" in case:
        return load(base64url(case["text"].split(".")[0]))["kid"] != key["kid"]
    signed = json.loads(case["text"])
    del signed["signature"]
    return signed["keyId"] != key["kid"] or canonical(signed) != case["canonical"]


def check(case, keys):
    check_parts(case)
    key = market_key(case["key"])
    require(key["kid"] in keys, "the key is none of the file of keys")
    message = case.get("signing_input", case.get("canonical")).encode()
    # Some libraries take what was made with the right key in a way that no honest signer uses, and SkyLink does not.
    expected = case.get("signature_holds_loosely", case["signature_holds"])
    require(holds(key, message, base64url(case["signature"])) == expected, f"the signature holds: not {expected}")
    if case["verdict"] == "sig_invalid" and expected and "signature_holds_loosely" not in case:
        require(is_anothers(case, key), "a good signature is called wrong")
    require(case["verdict"] != "accepted" or expected, "what is accepted is not signed")


def main(keys, files):
    with open(keys, encoding="utf-8") as file:
        keys = {key["kid"] for key in json.load(file)}
    checked, wrong = 0, 0
    for name in files:
        with open(name, encoding="utf-8") as file:
            cases = [case for case in json.load(file) if "signature_holds" in case]
        for case in cases:
            try:
                check(case, keys)
            except Wrong as error:
                print(f"WRONG: {case['name']}: {error}")
                wrong += 1
        checked += len(cases)
    print(f"{checked} cases checked, {wrong} are not as they say")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        raise SystemExit(2)
    raise SystemExit(main(sys.argv[1], sys.argv[2:]))
