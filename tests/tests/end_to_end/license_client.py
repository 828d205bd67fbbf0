# The client of the licence-server document, as it stands there but for the import of socket, and what it is used for here:
# license_client.py BASE_URL, with the licence's key on standard input.
import requests
import json
import socket
import sys


class LicenseClient:
    def __init__(self, base_url):
        self.base_url = base_url
    
    def activate(self, license_key, hardware_id):
        response = requests.post(
            f"{self.base_url}/api/v1/activate",
            json={
                "license_key": license_key,
                "hardware_id": hardware_id,
                "machine_name": socket.gethostname(),
                "app_version": "1.0.0"
            }
        )
        return response.json()
    
    def validate(self, license_key, activation_id, hardware_id):
        response = requests.post(
            f"{self.base_url}/api/v1/validate",
            json={
                "license_key": license_key,
                "activation_id": activation_id,
                "hardware_id": hardware_id,
                "app_version": "1.0.0"
            }
        )
        return response.json()


client, key = LicenseClient(sys.argv[1]), sys.stdin.readline().strip()
hardware = {
    "mac_address": "00:1B:44:11:3A:B7",
    "cpu_id": "BFEBFBFF000906EA",
    "system_uuid": "4C4C4544-0052-3410-8036-B8C04F303832",
}
activated = client.activate(key, hardware)
print(json.dumps({
    "activated": activated,
    "again": client.activate(key, hardware),
    "valid": client.validate(key, activated["activation_id"], hardware),
    "elsewhere": client.validate(key, activated["activation_id"], "another machine"),
}))
