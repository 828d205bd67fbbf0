"""Verifies what a receiver got with the public Standard Webhooks library: one JSON object a line, with the secret."""

import json
import sys

from standardwebhooks.webhooks import Webhook

for line in sys.stdin:
    got = json.loads(line)
    payload = Webhook(got["secret"]).verify(got["body"], got["headers"])
    assert sorted(payload) == ["data", "event", "timestamp"], payload
    print(payload["event"])
