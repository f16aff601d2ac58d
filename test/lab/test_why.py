"""cox why: what keeps a pod from running, in the scheduler's own words, and the smallest change."""

POD = """{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "%s", command: [sleep, "3600"], resources: {requests: {%s}}}], %s}}"""
BUSYBOX = "cox.local/busybox:1"


def why(lab, pod):
    return lab.cox("why", "pod", pod).stdout


def test_too_large(lab):
    lab.apply(POD % ("large", BUSYBOX, 'cpu: "1000"', ""))
    lab.until(lambda: "Insufficient cpu" in why(lab, "large"), what="the reason")
    text = why(lab, "large")
    assert text.startswith("pod default/large: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.")
    assert "The smallest change: on node n1: node n1 lacks" in text and "free that much, or ask for less" in text
    lab.cox("delete", "pod", "large")


def test_two_rules_at_once(lab):
    lab.apply(POD % ("picky", BUSYBOX, 'cpu: "1000"', "nodeSelector: {disk: ssd}"))
    lab.until(lambda: "node affinity/selector" in why(lab, "picky"), what="the reason")
    assert "node(s) didn't match Pod's node affinity/selector; Insufficient cpu" in why(lab, "picky")
    assert "give the node the labels that the pod asks for, or ask for less; and node n1 lacks" in why(lab, "picky")
    lab.cox("delete", "pod", "picky")


def test_gates_and_other_schedulers(lab):
    lab.apply(POD % ("held", BUSYBOX, "", "schedulingGates: [{name: example.com/quota}]"))
    lab.until(lambda: "example.com/quota" in why(lab, "held"), what="the gate")
    assert "The smallest change: remove its scheduling gates." in why(lab, "held")
    lab.apply(POD % ("foreign", BUSYBOX, "", "schedulerName: volcano"))
    lab.until(lambda: "left to the scheduler volcano" in why(lab, "foreign"), what="the other scheduler")
    lab.cox("delete", "pod", "held", "foreign")


def test_a_pod_with_a_node_tells_what_its_containers_wait_for(lab):
    lab.apply(POD % ("noimage", "cox.local/nothing:1", "", "restartPolicy: Always"))
    lab.until(lambda: "container c: waiting: " in why(lab, "noimage"), what="the container's state")
    assert why(lab, "noimage").startswith("pod default/noimage: Scheduled on n1: the pod has a node")
    lab.cox("delete", "pod", "noimage")


def test_bad_questions(lab):
    run = lab.cox("why", "pod", "missing", check=False)
    assert run.returncode == 1 and "NotFound" in run.stderr
    run = lab.cox("why", "pod", check=False)
    assert run.returncode == 1 and "say: cox why pod NAME" in run.stderr
