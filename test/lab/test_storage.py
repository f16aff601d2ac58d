"""Claims: folders on the node of the first pod, kept while the claim is there; StatefulSets that find theirs again."""
import os

SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: cox.local/busybox:1
        command: [sh, -c, 'echo "$HOSTNAME started" >> /data/log; sleep 3600']
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
"""


def starts(lab, pod):
    return lab.cox("exec", pod, "--", "cat", "/data/log").stdout.splitlines()


def ready(lab, count):
    return lambda: lab.get("statefulset", "db")["status"].get("readyReplicas") == count


def folders(lab):
    node = lab.get("nodes")["items"][0]
    root = node["metadata"]["annotations"]["coxswain.local/volume-root"]
    return {name: os.path.join(root, name) for name in os.listdir(root)} if os.path.isdir(root) else {}


def test_members_keep_their_volumes(lab):
    lab.apply(SET)
    lab.until(ready(lab, 2), what="two members")
    assert starts(lab, "db-0") == ["db-0 started"]
    claims = {c["metadata"]["name"]: c for c in lab.get("pvc")["items"]}
    assert set(claims) == {"data-db-0", "data-db-1"}
    assert all(c["status"]["phase"] == "Bound" and c["spec"]["storageClassName"] == "local" for c in claims.values())
    uid = lab.get("pod", "db-1")["metadata"]["uid"]
    lab.cox("delete", "pod", "db-1")
    lab.until(lambda: ready(lab, 2)() and lab.get("pod", "db-1")["metadata"]["uid"] != uid, what="db-1 again")
    assert starts(lab, "db-1") == ["db-1 started"] * 2
    assert starts(lab, "db-0") == ["db-0 started"]
    assert len(folders(lab)) == 2


def test_a_claim_that_goes_takes_its_folder(lab):
    lab.cox("delete", "statefulset", "db")
    lab.until(lambda: not lab.get("pods", "-l", "app=db")["items"], what="no members")
    assert len(folders(lab)) == 2, "claims stay when the set goes"
    lab.cox("delete", "pvc", "data-db-0", "data-db-1")
    lab.until(lambda: not lab.get("pv")["items"], what="no volumes")
    lab.until(lambda: not folders(lab), seconds=40, what="no folders")


def test_ephemeral_volumes_go_with_their_pod(lab):
    lab.apply("""{apiVersion: v1, kind: Pod, metadata: {name: scratch}, spec: {terminationGracePeriodSeconds: 0,
      containers: [{name: c, image: "cox.local/busybox:1", command: [sleep, "3600"], volumeMounts: [{name: v, mountPath: /v}]}],
      volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}}]}}""")
    lab.cox("wait", "pod/scratch", "--for", "condition=Ready")
    assert lab.cox("exec", "scratch", "--", "sh", "-c", "echo x > /v/f && cat /v/f").stdout == "x\n"
    assert lab.get("pvc", "scratch-v")["status"]["phase"] == "Bound"
    lab.cox("delete", "pod", "scratch")
    lab.until(lambda: not lab.get("pvc")["items"], what="no claim")


def test_why_a_claim_waits(lab):
    lab.apply("""{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: shared}, spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Mi}}}}""")
    lab.apply("""{apiVersion: v1, kind: Pod, metadata: {name: waiter}, spec: {containers: [{name: c, image: "cox.local/busybox:1", command: [sleep, "3600"]}],
      volumes: [{name: v, persistentVolumeClaim: {claimName: missing}}]}}""")

    def condition():
        return next((c["message"] for c in lab.get("pod", "waiter")["status"].get("conditions", []) if c["type"] == "PodScheduled"), "")
    lab.until(lambda: 'persistentvolumeclaim "missing" not found' in condition(), what="the reason")
    lab.cox("delete", "pod", "waiter")
    lab.cox("delete", "pvc", "shared")
