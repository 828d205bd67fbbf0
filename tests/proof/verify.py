#!/usr/bin/env python3
"""Checks that a genuine agent answered `_verify`, down to the vendor's root. Copy it into your app.

    verify.py ROOT WELL_KNOWN PROOF SITE APP NONCE

ROOT is a file with the vendor's root certificate (PEM), which came with your app; WELL_KNOWN is a file with the answer of
the agent's /.well-known/sitewarden; PROOF is the Sitewarden-Proof header of the answer to
/_config/licenses/_verify?app=APP&nonce=NONCE. Needs Python's cryptography, 38 or later.
"""

import base64
import json
import sys
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtensionOID, NameOID

TOKEN_SIGNING = "1.3.6.1.5.5.7.3.37"  # id-kp-jwt, RFC 9509


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def require(holds, what):
    if not holds:
        raise ValueError(what)


def span(certificate):
    if hasattr(certificate, "not_valid_before_utc"):  # cryptography 42
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (moment.replace(tzinfo=timezone.utc) for moment in (certificate.not_valid_before, certificate.not_valid_after))


def verify(root, well_known, proof, site, app, nonce):
    """The proof's payload. Raises an exception unless everything is as it should be."""
    # 1. The root signed the certificate, which holds now, and is for signing tokens.
    certificate = x509.load_der_x509_certificate(base64.b64decode(well_known["certificates"][0]))
    root.public_key().verify(
        certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(certificate.signature_hash_algorithm)
    )
    begin, end = span(certificate)
    require(begin <= datetime.now(timezone.utc) <= end, "the certificate does not hold now")
    purposes = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    require([purpose.dotted_string for purpose in purposes] == [TOKEN_SIGNING], "the certificate is for something else")

    # 2. The certificate's key signed the proof.
    key = certificate.public_key()
    require(isinstance(key, ed25519.Ed25519PublicKey), "the certificate has another kind of key")
    header, payload, signature = proof.split(".")
    key.verify(decode(signature), f"{header}.{payload}".encode())
    header, payload = json.loads(decode(header)), json.loads(decode(payload))
    require(header.get("alg") == "EdDSA" and header.get("typ") == "sitewarden-proof+jwt", "it is no proof")

    # 3. It is this agent's, at this site, and answers this very question.
    agent = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    sites = names.get_values_for_type(x509.UniformResourceIdentifier)
    require(header.get("kid") == payload["agent"] == agent, "it is another agent's")
    require(payload["site"] == site and sites == [f"urn:sitewarden:site:{site}"], "it is another site's")
    require(payload["app"] == app and payload["nonce"] == nonce, "it answers another question")
    return payload


if __name__ == "__main__":
    root_file, well_known_file, *asked = sys.argv[1:]
    with open(root_file, "rb") as root, open(well_known_file, "rb") as well_known:
        told = verify(x509.load_pem_x509_certificate(root.read()), json.load(well_known), *asked)
    print(json.dumps(told))
    sys.exit(0 if told["decision"] in ("Authorised", "Admin user") else 1)
