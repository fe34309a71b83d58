"""Fixtures: OpenSearch with the shipped configuration and the log lines of the real service."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import traffic
from filebeat import Filebeat

from harness.opensearch import OpenSearch

PIPELINE = json.loads(Path("observability/elasticsearch/pipeline.json").read_text())
AILING = [traffic.ailing, traffic.restricted, traffic.forbidden]


def flat(value, prefix=""):
    """Flattens nested names to dotted ones."""
    result = {}
    for name, item in value.items():
        if isinstance(item, dict) and item:
            result |= flat(item, f"{prefix}{name}.")
        else:
            result[prefix + name] = item
    return result


def processed(opensearch, document):
    """Returns a document after the ingest pipeline."""
    [response] = opensearch.call("POST", "/_ingest/pipeline/shoutback-log/_simulate", {"docs": [{"_source": document}]})["docs"]
    assert "error" not in response, response
    return flat(response["doc"]["_source"])


def of_service(index):
    return {number: event for number, event in index.sent.items() if not number.startswith("handwritten")}


class Index:
    """The sent lines by id, and the indexed documents."""

    def __init__(self, opensearch):
        self.opensearch = opensearch
        self.sent = {}
        self.streams = {}

    def send(self, files, namespace):
        """Sends lines as Filebeat does, but with ids, to find each line again."""
        filebeat = Filebeat(files.directory, namespace)
        stream = filebeat.output["index"]
        body = []
        for event in filebeat.events():
            number = f"{files.directory.name}-{len(body) // 2}"
            self.sent[number] = flat(event)
            self.streams.setdefault(stream, []).append(number)
            body += [{"create": {"_index": stream, "_id": number}}, event]
        assert body
        response = self.opensearch.call("POST", "/_bulk?refresh=true", body)
        rejected = [item for item in response["items"] if item["create"]["status"] != 201]
        assert not rejected, rejected[:3]

    def search(self, index="logs-shoutback.log-*", **body):
        return self.opensearch.call("POST", f"/{index}/_search", {"size": 10000, "track_total_hits": True} | body)

    def ids(self, query, index="logs-shoutback.log-*"):
        return {hit["_id"] for hit in self.search(index, query=query)["hits"]["hits"]}

    def source(self, number):
        [hit] = self.search(query={"ids": {"values": [number]}})["hits"]["hits"]
        return flat(hit["_source"])


def load(opensearch):
    environment = os.environ | {"ELASTICSEARCH_URL": opensearch.url, "ILM": "off", "no_proxy": "127.0.0.1"}
    subprocess.run(["observability/elasticsearch/load"], env=environment, check=True)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Writes the log lines in parallel to the start of OpenSearch, which takes longer."""
    root = tmp_path_factory.mktemp("traffic")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(lambda: (traffic.healthy(root), [make(root) for make in AILING]))


@pytest.fixture(scope="session")
def opensearch(written, tmp_path_factory):
    with OpenSearch(tmp_path_factory.mktemp("opensearch")) as opensearch:
        load(opensearch)
        # Loading again changes nothing.
        load(opensearch)
        yield opensearch


@pytest.fixture(scope="session")
def healthy(written):
    return written.result()[0]


@pytest.fixture(scope="session")
def ailing(written):
    return written.result()[1]


@pytest.fixture(scope="session")
def handwritten(healthy, tmp_path_factory):
    return traffic.handwritten(tmp_path_factory.mktemp("handwritten"), healthy.lines()[-1])


@pytest.fixture(scope="session")
def index(opensearch, healthy, ailing, handwritten):
    index = Index(opensearch)
    index.send(healthy, "healthy")
    for files in [*ailing, handwritten]:
        index.send(files, "ailing")
    return index
