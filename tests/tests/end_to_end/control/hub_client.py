# What is asked about telemetry at a hub, by requests: hub_client.py BASE USER PASSWORD SITE, with an API key on standard input.
import csv
import io
import json
import sys

import requests

base, user, password, site = sys.argv[1:]
api_key = sys.stdin.readline().strip()
telemetry = base + "/api/v1/telemetry"
session = requests.Session()
session.auth = (user, password)

for number in range(30):
    sent = requests.post(base + "/api/v1/send-telemetry-data", headers={"Accept": "application/json"}, data={
        "api_key": api_key, "data_type": "numeric-xy-axis", "numeric_data_x": 1000 + number, "numeric_data_y": number / 4,
        "product_id": "EMS", "user_identifier": "ü", "license_key": "k", "activation_identifier": "a",
        "product_version": "1.0.1", "data_group": 'p, "q" 😀',
    }).json()
    assert sent["response"]["code"] == 830, sent


def get(path, **query):
    answer = session.get(f"{telemetry}/{path}", params=query)
    assert answer.status_code == 200, (path, query, answer.text)
    return answer


# One list, newest first, page by page; the same as the export in both its forms.
rows, cursor = [], None
while True:
    page = get("records", limit=7, **({"cursor": cursor} if cursor else {})).json()
    assert sorted(page) == ["items", "next"] and len(page["items"]) <= 7, page
    rows += page["items"]
    cursor = page["next"]
    if cursor is None:
        break
assert [row["at"] for row in rows] == sorted((row["at"] for row in rows), reverse=True)
assert len({json.dumps(row, sort_keys=True) for row in rows}) == len(rows)
lines = get("export", format="jsonl")
assert lines.headers["content-type"] == "application/jsonl"
assert [json.loads(line) for line in lines.text.splitlines()] == rows
table = get("export", format="csv")
assert table.headers["content-type"].startswith("text/csv")
table = list(csv.DictReader(io.StringIO(table.content.decode("utf-8"), newline="")))
assert [row["at"] for row in table] == [row["at"] for row in rows]
group = 'p, "q" 😀'
points = [row for row in table if row["group"] == group]
assert sum(float(row["y"]) for row in points) == sum(number / 4 for number in range(30)), points

for query, count in [
    ({"group": group}, 30), ({"kind": "event"}, 5), ({"kind": "event", "app": "EMS"}, 5), ({"kind": "event", "app": "LM"}, 0),
    ({"site": site, "kind": "event"}, 5), ({"flagged": "true", "group": group}, 30), ({"flagged": "false", "group": group}, 0),
    ({"from": "2999-01-01T00:00:00Z"}, 0),
]:
    assert len(get("records", limit=1000, **query).json()["items"]) == count, query
for granularity in ["hour", "day", "week", "month"]:
    series = get("series", group=group, granularity=granularity).json()
    assert series["group"] == group and series["granularity"] == granularity, series
    assert sum(point["count"] for point in series["points"]) == 30, series
    assert sum(point["sum"] for point in series["points"]) == sum(number / 4 for number in range(30)), series
    assert min(point["min"] for point in series["points"]) == 0 and max(p["max"] for p in series["points"]) == 29 / 4
assert sorted(get("transmissions", site=site).json()) == ["items", "next"]

for path in ["records", "series?group=g", "export?format=csv", f"transmissions?site={site}"]:
    refused = requests.get(f"{telemetry}/{path}")
    assert refused.status_code == 401 and refused.json()["error"]["code"] == "UNAUTHORIZED", refused.text
for path in ["records?limit=0", "series", "export", "transmissions", "records?colour=red"]:
    refused = session.get(f"{telemetry}/{path}")
    assert refused.status_code == 400 and sorted(refused.json()["error"]) == ["code", "details", "message"], refused.text
