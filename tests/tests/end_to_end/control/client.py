# Every documented call of telemetry at an agent, by requests: client.py BASE USER PASSWORD, with the customer's API key on
# standard input. Each answer has exactly the document's fields.
import re
import sys

import requests

base, user, password = sys.argv[1:]
api_key = sys.stdin.readline().strip()
telemetry = base + "/api/v1/telemetry"
session = requests.Session()
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

FIELDS = {
    "config": "business_admin_url api_key_configured enabled frequency encryption_enabled anonymization_enabled "
              "local_retention_days last_transmission_at next_scheduled_at updated_at",
    "test-connection": "status message url timestamp",
    "preview": "customer_id current_period policy_decision_count active_bouncer_count total_events successful_decisions "
               "sandbox_events production_events health_status deployment_version tier",
    "history": "id transmission_date status records_sent response_code response_message error_details retry_count "
               "transmitted_at",
    "send-now": "status message records_sent timestamp",
    "license-status": "connected tier trial_expired trial_end_date trial_days_remaining license_admin_url "
                      "api_key_configured last_verification can_test_policies can_promote_to_production features_gated "
                      "warning test_policies_message promote_message promote_warning",
    "license-check": "allowed reason message",
    "health": "status enabled connection_status license_admin_url api_key_configured last_transmission_at "
              "next_scheduled_at frequency recent_errors message",
    "scheduler-status": "scheduler_running enabled frequency next_scheduled_at last_transmission_at message",
}


def has(answer, what, status=200):
    assert answer.status_code == status, (what, answer.status_code, answer.text)
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    body = answer.json()
    first = body[0] if isinstance(body, list) else body
    assert sorted(first) == sorted(FIELDS[what].split()), (what, sorted(first))
    for name, value in first.items():
        if name.endswith(("_at", "timestamp", "_date")) and value is not None:
            assert TIME.match(value), (what, name, value)
    return body


def detail(answer, status, begins):
    assert answer.status_code == status, (status, answer.status_code, answer.text)
    assert list(answer.json()) == ["detail"] and answer.json()["detail"].startswith(begins), answer.text


# Without a token every call is refused before anything else is looked at.
for method, path in [
    ("GET", "config"), ("PUT", "config"), ("POST", "test-connection"), ("GET", "preview"), ("GET", "history"),
    ("POST", "send-now"), ("POST", "history/1/retry"), ("GET", "license-status"), ("GET", "license-check/test-policies"),
    ("GET", "license-check/promote-production"), ("GET", "health"), ("GET", "scheduler-status"),
]:
    detail(requests.request(method, f"{telemetry}/{path}"), 401, "Not authenticated")
    detail(requests.request(method, f"{telemetry}/{path}", headers={"Authorization": "Bearer x.y.z"}), 401, "Invalid")

detail(session.post(base + "/api/v1/auth/login", json={"username": user, "password": "wrong"}), 401, "Incorrect")
login = session.post(base + "/api/v1/auth/login", json={"username": user, "password": password})
login.raise_for_status()
renewed = session.post(base + "/api/v1/auth/refresh", json={"refresh_token": login.json()["refresh_token"]})
renewed.raise_for_status()
session.headers["Authorization"] = "Bearer " + renewed.json()["access_token"]

has(session.get(telemetry + "/config"), "config")
config = has(session.put(telemetry + "/config", json={
    "business_admin_url": session.get(telemetry + "/config").json()["business_admin_url"], "api_key": api_key,
    "enabled": True, "frequency": "weekly", "encryption_enabled": True, "anonymization_enabled": True,
    "local_retention_days": 30,
}), "config")
assert config["frequency"] == "weekly" and config["api_key_configured"] is True, config
for frequency in ["twice_monthly", "monthly", "daily", "weekly"]:
    assert has(session.put(telemetry + "/config", json={"frequency": frequency}), "config")["frequency"] == frequency
documented = "Invalid frequency. Must be one of: twice_monthly, weekly, monthly, daily"
for wrong in ["hourly", "", "Weekly", "wéekly", 5, True, [], {}]:
    detail(session.put(telemetry + "/config", json={"frequency": wrong}), 400, documented)
for change in [
    {"enabled": "true"}, {"enabled": 1}, {"encryption_enabled": []}, {"anonymization_enabled": "no"},
    {"local_retention_days": -1}, {"local_retention_days": 1.5}, {"local_retention_days": "30"},
    {"local_retention_days": 2 ** 70}, {"local_retention_days": 3651}, {"api_key": 5}, {"api_key": "x" * 1025},
    {"business_admin_url": 5}, {"business_admin_url": "http://plain.example"}, {"business_admin_url": "ftp://a.example"},
    {"business_admin_url": "https://user:secret@host.example"}, {"business_admin_url": "https://" + "x" * 3000},
    {"business_admin_url": "\u202ehttps://a.example"},
]:
    name = next(iter(change)).replace("api_key", "api key" if change.get("api_key") == "x" * 1025 else "api_key")
    detail(session.put(telemetry + "/config", json=change), 400, name + ":")
for body in [b"", b"null", b"[]", b"\xff\xfe", b'{"enabled": NaN}', b'{"enabled": true', b'"text"', b"5"]:
    detail(session.put(telemetry + "/config", data=body), 400, "the body must be a JSON object")
assert has(session.get(telemetry + "/config"), "config") == {**config, "updated_at": has(
    session.get(telemetry + "/config"), "config")["updated_at"]}, "what was refused changed nothing"

tested = has(session.post(telemetry + "/test-connection"), "test-connection")
assert tested["status"] == "success" and tested["message"] == "Successfully connected to License Admin server", tested
preview = has(session.get(telemetry + "/preview"), "preview")
assert preview["customer_id"] == "1" and re.match(r"^\d{4}-\d\d-\d\d$", preview["current_period"]), preview
raw = session.get(telemetry + "/preview", params={"raw": "true", "limit": 5}).json()
assert sorted(raw) == ["limit", "records", "skip", "total"], raw
for query in ["raw=perhaps", "limit=0", "limit=1001", "limit=x", "skip=-1", "limit=1e2", "skip=99999999999999999999999"]:
    answer = session.get(f"{telemetry}/preview?{query}")
    assert answer.status_code == 400 and "detail" in answer.json(), (query, answer.text)

sent = has(session.post(telemetry + "/send-now"), "send-now")
assert sent["status"] == "success" and sent["message"] == "Telemetry transmitted successfully", sent
history = has(session.get(telemetry + "/history", params={"limit": 20, "skip": 0}), "history")
assert len(history) == 1 and history[0]["response_code"] == 200, history
assert history[0]["response_message"] == "Transmission successful" and history[0]["error_details"] is None, history
assert session.get(telemetry + "/history", params={"skip": 1}).json() == []
detail(session.post(f"{telemetry}/history/{history[0]['id']}/retry"), 400, "Transmission did not fail")
detail(session.post(telemetry + "/history/999/retry"), 404, "Transmission log not found")
for number in ["x", "-1", "1.5", "99999999999999999999999", "%00", "%F0%9F%98%80"]:
    detail(session.post(f"{telemetry}/history/{number}/retry"), 400, "log_id:")

status = has(session.get(telemetry + "/license-status"), "license-status")
assert status["api_key_configured"] is True and isinstance(status["connected"], bool), status
for gate in ["test-policies", "promote-production"]:
    checked = has(session.get(f"{telemetry}/license-check/{gate}"), "license-check")
    assert checked["allowed"] is False and checked["reason"] == "License server connection required", checked
health = has(session.get(telemetry + "/health"), "health")
assert health["status"] in ["healthy", "warning", "unhealthy", "disabled", "not_configured"], health
assert has(session.get(telemetry + "/scheduler-status"), "scheduler-status")["scheduler_running"] is True

has(session.put(telemetry + "/config", json={"enabled": False}), "config")
detail(session.post(telemetry + "/send-now"), 400, "Telemetry is not enabled")
assert has(session.get(telemetry + "/health"), "health")["status"] == "disabled"
detail(requests.post(telemetry + "/webhook/license-update", json={"customer_id": "customer-123"}), 401,
       "Invalid webhook signature")
for path, method in [("config", "DELETE"), ("preview", "POST"), ("send-now", "GET"), ("health", "PUT")]:
    assert session.request(method, f"{telemetry}/{path}").status_code == 405, (method, path)
assert session.get(telemetry + "/nothing").status_code == 404
ended = session.post(base + "/api/v1/auth/logout")
assert ended.status_code == 200, ended.text
detail(session.get(telemetry + "/config"), 401, "Invalid or expired token")
