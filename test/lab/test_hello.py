"""The main job: a Deployment of real containers behind a real Service, with the built-in client."""
import concurrent.futures
import os
import re

import lab as labs

HELLO = os.path.join(labs.TOP, "examples", "hello")
ANSWER = re.compile(r"Hello from (hello-[a-z0-9]+-[a-z0-9]{5}), a container of your cluster\.")


def ask(lab, address):
    out = lab.inside("curl", "-sS", "--max-time", "5", f"http://{address}/").stdout
    return ANSWER.match(out).group(1)


def test_apply_and_answer(lab):
    out = lab.cox("apply", "-f", HELLO).stdout
    assert out == "deployment.apps/hello created\nservice/hello created\n"
    lab.cox("wait", "deployment/hello", "--for", "condition=Available", "--timeout", "60s")
    pods = {p["metadata"]["name"]: p for p in lab.get("pods", "-l", "app=hello")["items"]}
    assert len(pods) == 2
    for pod in pods.values():
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        assert pod["status"]["podIP"].startswith("10.244.")
    address = lab.get("service", "hello")["spec"]["clusterIP"]
    lab.until(lambda: ask(lab, address), what="an answer of the Service")
    seen = {ask(lab, address) for _ in range(40)}
    assert seen == set(pods), "both pods answer behind one address"


def test_apply_again_changes_nothing(lab):
    assert lab.cox("apply", "-f", HELLO).stdout == "deployment.apps/hello unchanged\nservice/hello unchanged\n"


def test_names_work_inside_pods(lab):
    lab.apply("""{apiVersion: v1, kind: Pod, metadata: {name: asker}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/busybox:1", command: [sleep, "3600"]}]}}""")
    lab.cox("wait", "pod/asker", "--for", "condition=Ready")
    for name in ("hello", "hello.default", "hello.default.svc.cluster.local"):
        out = lab.cox("exec", "asker", "--", "wget", "-q", "-O", "-", f"http://{name}/").stdout
        assert ANSWER.match(out), (name, out)
    out = lab.cox("exec", "asker", "--", "nslookup", "kubernetes.default.svc.cluster.local").stdout
    assert "10.96.0.1" in out


def test_service_proxy_from_the_host(lab):
    out = lab.cox("get", "--raw", "/api/v1/namespaces/default/services/hello:http/proxy/").stdout
    assert ANSWER.match(out)


def test_logs_and_exec(lab):
    lab.apply("""{apiVersion: v1, kind: Pod, metadata: {name: talker}, spec: {restartPolicy: Never, containers: [{name: c, image: "cox.local/busybox:1", command: [sh, -c, "for i in 1 2 3; do echo line $i; done; sleep 3600"]}]}}""")
    lab.cox("wait", "pod/talker", "--for", "condition=Ready")
    assert lab.until(lambda: lab.cox("logs", "talker").stdout == "line 1\nline 2\nline 3\n", what="the log lines")
    assert lab.cox("logs", "talker", "--tail", "1").stdout == "line 3\n"
    assert lab.cox("exec", "talker", "--", "echo", "hi there").stdout == "hi there\n"
    assert lab.cox("exec", "-i", "talker", "--", "cat", input="some\ninput\n").stdout == "some\ninput\n"
    run = lab.cox("exec", "talker", "--", "sh", "-c", "echo oops >&2; exit 7", check=False)
    assert run.returncode == 7
    assert run.stderr.startswith("oops\n")
    lab.cox("delete", "pod", "talker", "--grace-period", "0")
    name = lab.cox("exec", "deployment/hello", "--", "hostname").stdout.strip()
    assert name.startswith("hello-") and lab.cox("exec", "service/hello", "--", "echo", "one of its").stdout == "one of its\n"
    assert lab.cox("logs", "deployment/hello").returncode == 0
    run = lab.cox("exec", "deployment/nosuch", "--", "true", check=False)
    assert run.returncode == 1 and 'deployments.apps "nosuch" not found' in run.stderr, run.stderr


def test_many_execs_at_once(lab):
    """More than an agent keeps connections idle, and programs that end at once: nothing of their output is lost."""
    lab.cox("wait", "pod/asker", "--for", "condition=Ready")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        out = list(pool.map(lambda i: lab.cox("exec", "asker", "--", "echo", f"number {i}", check=False), range(64)))
    assert [o.stdout for o in out] == [f"number {i}\n" for i in range(64)], [o.stderr for o in out if o.returncode]


def test_tables(lab):
    lines = lab.cox("get", "deployments").stdout.split("\n")
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split()[:4] == ["hello", "2/2", "2", "2"]
    head = lab.cox("get", "pods", "-o", "wide").stdout.split("\n")[0].split()
    assert head == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES"]
    assert "No resources found in default namespace." in lab.cox("get", "jobs").stderr
    run = lab.cox("get", "pod", "nosuch", check=False)
    assert run.returncode == 1
    assert run.stderr == 'Error from server (NotFound): pods "nosuch" not found\n'


def test_scaling_and_deleting(lab):
    lab.apply(open(os.path.join(HELLO, "hello.yaml")).read().replace("replicas: 2", "replicas: 4"))
    lab.until(lambda: lab.get("deployment", "hello")["status"].get("readyReplicas") == 4, what="four replicas")
    lab.cox("delete", "-f", HELLO, "--timeout", "60s")
    lab.until(lambda: not lab.get("pods", "-l", "app=hello")["items"], seconds=60, what="no pods of hello")
    run = lab.cox("get", "service", "hello", check=False)
    assert run.returncode == 1


def test_a_job_of_five(lab):
    lab.cox("apply", "-f", os.path.join(labs.TOP, "examples", "job"))
    lab.cox("wait", "job/squares", "--for", "condition=Complete", "--timeout", "60s")
    job = lab.get("job", "squares")
    assert job["status"]["succeeded"] == 5
    assert job["status"]["completedIndexes"] == "0-4"
    logs = {lab.cox("logs", p["metadata"]["name"]).stdout for p in lab.get("pods", "-l", "job-name=squares")["items"]}
    assert logs == {f"{i} squared is {i * i}\n" for i in range(5)}
    lab.cox("delete", "job", "squares")
    lab.until(lambda: not lab.get("pods", "-l", "job-name=squares")["items"], what="the Job's pods are gone")
