"""R1 at tier P: 50 kills of the server under writes: nothing acknowledged is lost, no revision is used twice, watches have no gap."""
import http.client
import json
import os
import random
import ssl
import threading
import time

from test_bad_inputs import api  # noqa: F401  (fixture)

KILLS = 50
WRITERS = 4


def test_kills_lose_nothing(lab, api):  # noqa: F811
    acknowledged, stop, lock = {}, threading.Event(), threading.Lock()
    revisions = []

    def writer(number):
        i = 0
        while not stop.is_set():
            name = f"w{number}-{i}"
            body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"i": str(i)}})
            try:
                status, answer = api("POST", "/api/v1/namespaces/default/configmaps", body)
                if status == 201:
                    with lock:
                        acknowledged[name] = int(answer["metadata"]["resourceVersion"])
                        revisions.append(int(answer["metadata"]["resourceVersion"]))
                    i += 1
                elif status == 409:
                    i += 1  # committed, but the answer was lost with the server
                else:
                    time.sleep(0.02)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)

    threads = [threading.Thread(target=writer, args=(n,), daemon=True) for n in range(WRITERS)]
    for t in threads:
        t.start()
    rng = random.Random(7)
    for _ in range(KILLS if not os.environ.get("COX_QUICK") else 5):
        lab.until(lambda: "server-process" in lab.nodes[0].children(), what="the server runs")
        time.sleep(rng.uniform(0.05, 0.3))
        lab.nodes[0].kill("server-process")
    lab.wait_ready()
    time.sleep(0.5)
    stop.set()
    for t in threads:
        t.join()
    assert len(acknowledged) > KILLS
    assert len(set(revisions)) == len(revisions), "a revision was used twice"
    status, listed = api("GET", "/api/v1/namespaces/default/configmaps")
    found = {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for o in listed["items"]}
    lost = {n: r for n, r in acknowledged.items() if found.get(n) != r}
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are lost or changed"
    assert int(listed["metadata"]["resourceVersion"]) >= max(revisions)
