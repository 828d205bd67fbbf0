# A client of send-telemetry-data in another language: telemetry_client.py BASE_URL, with an API key on standard input.
# Posts the document's sample in each encoding, and checks every answer's signature with the published key.
import base64
import json
import sys

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

base_url, api_key = sys.argv[1], sys.stdin.readline().strip()
url = f"{base_url}/api/v1/send-telemetry-data"
published = requests.get(f"{base_url}/.well-known/sitewarden", timeout=30).json()["signing_key"]
public_key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(published + "=" * (-len(published) % 4)))

sample = {
    "api_key": api_key,
    "data_type": "numeric-single-value",
    "numeric_data_single_value": "50",
    "product_id": "1",
    "user_identifier": "554dddsqfqs4dqd5qsd74q",
    "license_key": "9cc2cc83-4c74-49f9-98f5-f0e1c1eb1541",
    "activation_identifier": "12135644",
    "product_version": "1.0.1",
    "data_group": "python_group",
}


def verified(response):
    envelope = response.json()
    signed, signature = base64.b64decode(envelope["response_base64"]), base64.b64decode(envelope["signature"])
    public_key.verify(signature, signed)
    assert json.loads(signed) == envelope["response"] and envelope["private_key_used"] == "global"
    for at in (0, len(signed) // 2, len(signed) - 1):
        flipped = bytearray(signed)
        flipped[at] ^= 1
        try:
            public_key.verify(signature, bytes(flipped))
        except InvalidSignature:
            continue
        raise AssertionError(f"byte {at} may be any")
    return [response.status_code, envelope["response"]["code"]]


accept = {"Accept": "application/json"}
print(json.dumps({
    "json": verified(requests.post(url, json=sample, headers=accept, timeout=30)),
    "form": verified(requests.post(url, data=sample, headers=accept, timeout=30)),
    "multipart": verified(requests.post(
        url, files={name: (None, value) for name, value in sample.items()}, headers=accept, timeout=30)),
    "incorrect": verified(requests.post(url, data={"api_key": api_key}, headers=accept, timeout=30)),
    "unauthorised": verified(requests.post(url, data={**sample, "api_key": "swk_wrong"}, headers=accept, timeout=30)),
}))
