"""Every text uses the field's terms by the rules of docs/style; each rule finds its terms and accepts ordinary English."""

import subprocess

import pytest
import prose

from harness.process import ENVIRONMENT
from harness.shoutback import binary

RULES = {rule.name: rule for rule in prose.rules()}

# By rule: sentences with a fault, at least one per pattern, and sentences with the same words that have none.
EXAMPLES = {
    "Actors": (
        ["Whoever calls waits.", "It tells somebody.", "So that nobody is called.", "Then no one waits."],
        ["ShoutbackNobodyAccepted fires.", "Mail somebody@example.com.", "The container runs as nobody.", "No one replica is special."],
    ),
    "Response": (
        ["The answer is longer than 64 KiB.", "SHOUTCLOUD answers with 503.", "Each request is answered.", "It stops answering."],
        [
            "It answers the question whether the key is known.",
            "The page answers who owns the alert.",
            "Questions are answered in issues.",
            "The answer key of the drill.",
            "The wrong answer ends the drill.",
            "The DNS answer has two addresses.",
            "The option --answer is for tests.",
        ],
    ),
    "Reject": (
        ["A token without the scope is refused.", "The collector refuses spans.", "A refusal costs little.", "Refusals are counted."],
        ["connection refused", "The port refuses connections.", "The service refuses to start.", "The user pool refuses to be deleted."],
    ),
    "UpperCase": (
        ["It returns the text in capitals.", "SHOUTCLOUD capitalises it.", "Capitalization is its task."],
        ["The capitals of European countries are ASCII.", "A capital letter is one byte.", "Capital expenditure is not in the table."],
    ),
    "Accepted": (
        ["The caller is let in.", "It lets everybody in.", "Requests are admitted.", "Admitted requests count."],
        ["The API server admits the pod.", "It lets in-flight requests finish.", "That lets requests in flight end.", "The pods are admitted under restricted Pod Security."],
    ),
    "Stored": (
        ["The response is kept for an hour.", "What was kept replaces it.", "The texts that are not kept are many.", "Kept answers are served.", "The entry which has been kept is old."],
        ["The connection is kept open.", "The copies are kept in sync.", "A well-kept library.", "Two requests are kept apart.", "It is kept up to date."],
    ),
    "Requested": (
        ["The text is asked for by two callers.", "The client asks again.", "Each cell is asked of the API server."],
        ["Users asked for this feature.", "The page asks for a password.", "It asks the operator for confirmation."],
    ),
    "InFlight": (["Two calls are under way.", "The stop is underway."], ["Requests in flight finish.", "A way under the load balancer."]),
    "Unavailable": (
        ["SHOUTCLOUD cannot be had.", "The shout was had without asking.", "The collector is away."],
        ["The variable had to be set.", "Replicas two hops away are slower.", "The limit had no effect."],
    ),
    "Continues": (
        ["The trace goes on to SHOUTCLOUD.", "The context is handed on.", "The load goes on."],
        ["What goes on the wire is compressed.", "The label goes on top of the panel.", "The last success was 35 minutes ago on this replica.", "On the other hand, the cost is low."],
    ),
    "Configured": (
        ["The on-call engineer is told.", "The page tells of two limits.", "It is said of every span.", "The line says nothing."],
        ["The pods are told apart by their names.", "The message says which variable is wrong.", "That said, the default is enough."],
    ),
    "Our": (["It is a failure of ours.", "A library of our own."], ["Each fetch has a task of its own.", "Hours of work.", "A source of our errors."]),
    "Paths": (["The way of a request through the layers.", "The way of a stop."], ["A way of measuring latency.", "There are two ways of a different kind."]),
    "Headers": (
        ["A head has at most 64 KiB.", "Heads that never end.", "The head of a response."],
        ["The request head has at most 64 KiB.", "A HEAD request has no body.", "The line at the head of the queue.", "git update-ref refs/heads/main", "Overhead is small."],
    ),
    "CPU": (
        ["The processor is busy.", "Add processors."],
        ["The batch processor sends every second.", "A span processor of the SDK.", "The processors of the collector run in this order."],
    ),
    "Permissions": (
        ["The deployer has no rights in it.", "It takes the right to read Secrets.", "A right that is missing."],
        ["All rights reserved.", "The right workflow signed it.", "The legend is to the right of the panel.", "It is right after a restart."],
    ),
    "Docs": (
        ["The variables are in the pages.", "No page says so much.", "The pages list each metric.", "What pages list is tested."],
        ["The alert pages the on-call engineer.", "The page `/docs` needs no token.", "Prometheus has web pages.", "The thresholds of the pages are 14.4 and 6."],
    ),
    "TokenCache": (
        ["A memory of tokens.", "Two memories are one too many.", "The token is remembered.", "It recalls a token."],
        ["The process takes 20 MiB of memory.", "Remember to rotate the key.", "Precision and recall.", "The memory of the process grows."],
    ),
    "SingleFlight": (
        ["The flight has two followers.", "The caller boards it.", "The call lands.", "Each landing is counted.", "The pilot went away.", "Three calls are aloft."],
        ["Requests in flight finish.", "A single-flight call is shared.", "The request lands on another replica.", "The landing page.", "The dashboard of the pilot project.", "Onboarding of a team."],
    ),
    "Capacity": (
        ["There is no room.", "Room for one more.", "All places were taken.", "Places in flight.", "It waits for a place.", "That frees a place."],
        ["The new key set takes its place.", "It is the only place where errors become statuses.", "The rollout takes place at night.", "Ports in place of 80 and 443.", "A chat room."],
    ),
    "Timeout": (
        ["Its patience ends.", "A patient client.", "The attempt was given up."],
        ["The client gives up after three attempts.", "Patient records are not stored.", "An outpatient clinic."],
    ),
    "Options": (["What was weighed."], ["The entries are weighted by their length.", "It weighs entries by their length."]),
    "Fix": (["Mend the request."], ["Amend the commit.", "We recommend the default."]),
    "Per": (
        ["One span a request.", "Bytes a request.", "It makes 100 requests a second."],
        ["The report comes once a day.", "The client requests a second token.", "It sends a request.", "HTTP/1.1, a request and a response."],
    ),
    "Riddles": (
        [
            "After so many attempts.",
            "It waits for so long.",
            "It is fetched anew.",
            "New replicas come by and by.",
            "It waits in vain.",
            "Lines which are none.",
            "What cannot be helped.",
            "It sees to it that the entry leaves.",
            "For want of a key.",
            "What may pass is retried.",
            "The replica is well.",
            "The series are at hand.",
        ],
        ["There are so many series that Prometheus slows down.", "It lasts so long as the lease does.", "The news.", "A well-formed token is well known.", "There are none of them.", "On the one hand."],
    ),
}


def test_each_rule_has_examples():
    assert EXAMPLES.keys() == RULES.keys()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_what_it_is_for(name):
    faults, _ = EXAMPLES[name]
    found = {fault: [finding for finding in RULES[name].check("planted", fault)] for fault in faults}
    assert not [fault for fault in faults if not found[fault]]
    reached = {finding.pattern for findings in found.values() for finding in findings}
    assert not RULES[name].instead.keys() - reached, "patterns without an example"
    for findings in found.values():
        for finding in findings:
            assert finding.found in str(finding) and RULES[name].instead[finding.pattern] in str(finding)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_leaves_ordinary_english(name):
    _, friends = EXAMPLES[name]
    assert len(friends) > 1
    assert [str(finding) for friend in friends for finding in RULES[name].check("planted", friend)] == []


# By name of a file: its text, and the lines of it with the fault.
FILES = {
    "a.rs": ("//! It is under way.\n/// Under way.\nfn under_way() {} // under way\n", [1, 2, 3]),
    "b.rs": ('fn f() { log("a call is under way"); path("under/way") }\n#[test]\nfn two_calls_are_under_way() {}\n', [1, 3]),
    "c.rs": ("/// `under way` is a state.\n/// ```\n/// // under way\n/// ```\nconst A: char = '\"'; // under\n// way\n", [5]),
    "d.rs": ('let a = r#"it is "under way" now"#;\nlet b = "under";\nlet way = 1;\n', [1]),
    "a.py": ('"""A call under\nway."""\n# Under way.\nunder = way\nprint(f"{n} calls are under way")\n\n\ndef test_a_call_is_under_way():\n    pass\n', [1, 3, 5, 8]),
    "a.sh": ("# under way\necho 'a call is under way'\necho under way\n", [1, 2]),
    "a.yaml": ("# under way\nsummary: it is under way\ndescription: >-\n  {{ $value }} calls\n  are under way\nother: under way\n", [1, 2, 5]),
    "alarms.yaml": ("- AlarmDescription: >-\n    A call is under way.\n  Query: under way\n", [2]),
    "a.tf": ('# under way\ndescription = "What is under way."\nname = "under way"\n', [1, 2]),
    "a.json": ('{"description": "Calls under way.", "name": "under way"}\n', [1]),
    "a.md": ("Calls are under\nway, and `under way`.\n\n```sh\n$ under way\nmake   # under way\n```\n[under](way.md)\n\nunder\n\nway\n", [1, 6]),
    "b.md": ('<img src="under way" alt="A call is under way">\n', [1]),
    "a.js": ("// under way\n/* under way */\nsay('a call is under way'); under.way\n", [1, 2, 3]),
    "a.html": ("<p class='under way'>under way</p>\n<input placeholder=\"under way\">\n", [1, 2]),
    "Makefile": ("a: ## What is under way\n\tunder way\n", [1]),
    "script": ("#!/usr/bin/env bash\nunder way # under way\n", [2]),
}


@pytest.mark.parametrize("name", FILES)
def test_prose_is_found_in_each_kind_of_file(name):
    text, lines = FILES[name]
    extracted = prose.extractor(name, text)(text)
    assert len(extracted) == len(text), "lines and columns stay"
    assert [finding.line for finding in prose.check(name, extracted, [RULES["InFlight"]])] == lines


def test_other_files_are_not_read():
    assert prose.extractor("Cargo.lock", "") is None
    assert prose.extractor("a.png", "") is None


def test_the_program_prints_each_finding():
    done = subprocess.run([prose.TOP / "scripts/prose", "docs"], env=ENVIRONMENT, capture_output=True, text=True)
    expected = [str(finding) for name, text in prose.texts() if name.startswith("docs/") for finding in prose.check(name, text, RULES.values())]
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.returncode == (1 if expected else 0)


@pytest.fixture(scope="module")
def found():
    texts = dict(prose.texts())
    texts["shoutback --help"] = subprocess.run([binary(), "--help"], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    assert len(texts) > 400
    findings = {name: prose.check(name, text, RULES.values()) for name, text in texts.items()}
    return {name: found for name, found in findings.items() if found}


def test_every_text_uses_the_fields_terms(found):
    listed, _ = prose.waiting()
    assert [str(finding) for name, findings in found.items() if name not in listed for finding in findings] == []


def test_the_list_of_files_that_wait_only_shrinks(found):
    """Its number may only be lowered."""
    listed, number = prose.waiting()
    assert [name for name in listed if name not in found] == [], "these have no findings any more, or are gone: make prose ARGS=--shrink"
    assert len(set(listed)) == len(listed) == number, "the number on the first line"
