"""Whatever happens to Valkey, every request gets a response, quotas hold per replica, and recovery is automatic."""

import contextlib
import os
import signal

import pytest

from client import requests_total, round_robin, send, shout
from harness.toxiproxy import free_port
from harness.valkey import Cluster, Server, ServerError

QUOTA = {"RATE_LIMIT_PER_CLIENT": "1/h", "RATE_LIMIT_BURST": "1000", "CACHE_SHARED": "on"}


def answers(replica, prefix="text"):
    """Sends requests that read and write the cache and take a quota: all succeed."""
    for number in range(8):
        status, _, body = shout(replica, f"{prefix} {number}")
        assert status == 200, body


def until_noticed(replica):
    """Sends requests until the replica does without Valkey."""
    replica.until("it notices", lambda: answers(replica) or not replica.is_up())


def test_valkey_that_is_down_at_the_start_is_used_once_it_is_there(start, tmp_path):
    port = free_port()
    replica = start(f"redis://127.0.0.1:{port}", up=False, **QUOTA)
    answers(replica)
    assert not replica.is_up()
    assert requests_total(replica, "connect", "connection") > 0
    assert requests_total(replica, "quota_lease", "success") == 0
    with Server(tmp_path / "valkey", port=port) as valkey:
        replica.until_up()
        answers(replica)
        assert valkey("KEYS", "shoutback:quota:*")
        assert replica.changes() == ["failure", "success"]


def test_a_server_that_hangs_without_closing_costs_nothing_once_noticed(start, valkey):
    replica = start(valkey.url, VALKEY_TIMEOUT="50ms", **QUOTA)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        until_noticed(replica)
        sent = requests_total(replica, "quota_lease", "timeout")
        answers(replica)
        assert requests_total(replica, "quota_lease", "timeout") == sent, "commands are skipped"
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    replica.until_up()
    answers(replica)
    assert replica.changes() == ["success", "failure", "success"]


def test_what_a_server_executes_after_a_pause_does_not_change_the_quota(start, valkey):
    replica = start(valkey.url, VALKEY_TIMEOUT="50ms", **QUOTA)
    answers(replica)
    [key] = valkey("KEYS", "shoutback:quota:*")
    level = float(valkey("HGET", key, "level"))
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        until_noticed(replica)
        # Longer than any of the calls waits.
        answers(replica, "meanwhile")
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    replica.until_up()
    assert float(valkey("HGET", key, "level")) >= level


def test_connections_that_are_reset(start, valkey, toxiproxy):
    proxy = toxiproxy.proxy(valkey.address)
    replica = start(f"redis://{proxy.address}", **QUOTA)
    with proxy.toxic("reset_peer", timeout=0):
        until_noticed(replica)
        answers(replica)
    replica.until_up()
    with proxy.down():
        until_noticed(replica)
    replica.until_up()


def test_a_server_that_is_full(start, valkey):
    replica = start(valkey.url, **QUOTA)
    valkey("CONFIG", "SET", "maxmemory", "1")
    until_noticed(replica)
    answers(replica)
    outcomes = [requests_total(replica, operation, "out_of_memory") for operation in ("quota_lease", "cache_write", "heartbeat")]
    assert sum(outcomes) > 0
    valkey("CONFIG", "SET", "maxmemory", "0")
    replica.until_up()
    answers(replica)


def test_a_failover_of_which_the_old_primary_becomes_a_replica(start, valkey, toxiproxy, tmp_path):
    with Server(tmp_path / "other") as other:
        other("REPLICAOF", "127.0.0.1", valkey.port)
        other.until("it is in sync", lambda: b"master_link_status:up" in other("INFO", "replication"))
        # The name of the primary, as ElastiCache has one.
        proxy = toxiproxy.proxy(valkey.address)
        replica = start(f"redis://{proxy.address}", **QUOTA)
        answers(replica)
        other("REPLICAOF", "NO", "ONE")
        valkey("REPLICAOF", "127.0.0.1", other.port)
        until_noticed(replica)
        operations = ("quota_lease", "cache_write", "heartbeat")
        assert sum(requests_total(replica, operation, "read_only") for operation in operations) > 0
        proxy.set_upstream(other.address)
        replica.until_up()
        answers(replica)


def test_a_rotated_password(start, tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret-1\n")
    with Server(tmp_path / "valkey", password="s3cret-1") as valkey:
        replica = start(f"redis://{valkey.address}", VALKEY_PASSWORD_FILE=str(password), **QUOTA)
        valkey("CONFIG", "SET", "requirepass", "s3cret-2")
        valkey.password = "s3cret-2"
        # Servers do not close authenticated connections; a failover or a restart does.
        with contextlib.suppress(ServerError):
            valkey("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until_noticed(replica)
        replica.until("it is rejected", lambda: requests_total(replica, "connect", "authentication") > 0)
        answers(replica)
        password.write_text("s3cret-2\n")
        replica.until_up()
        answers(replica)
        assert "s3cret" not in replica.output()


@pytest.mark.parametrize("secret", ["redis://{}", "redis://:wrong-s3cret@{}", "redis://nobody:wrong-s3cret@{}"])
def test_a_missing_or_wrong_password_is_neither_fatal_nor_logged(start, tmp_path, secret):
    with Server(tmp_path / "valkey", password="right") as valkey:
        replica = start(secret.format(valkey.address), up=False, **QUOTA)
        answers(replica)
        replica.until("it is rejected", lambda: requests_total(replica, "connect", "authentication") > 0)
        assert not replica.is_up()
        assert "s3cret" not in replica.output()


def test_keys_of_another_type_are_replaced(start, valkey):
    replica = start(valkey.url, **QUOTA)
    answers(replica)
    [key] = valkey("KEYS", "shoutback:quota:*")
    for name, write in [
        (key, ("SET", key, "x" * (1 << 20))),
        (key, ("HSET", key, "level", "x", "at", "y")),
        (key, ("HSET", key, "level", "nan", "at", "inf")),
        (key, ("HSET", key, "level", "-1e300", "at", "1e300")),
        ("shoutback:{replicas}", ("SET", "shoutback:{replicas}", "x")),
    ]:
        valkey("DEL", name)
        valkey(*write)
        answers(replica)
    assert replica.is_up()
    replica.until("it is registered again", lambda: valkey("TYPE", "shoutback:{replicas}") == "zset")
    answers(replica)
    assert valkey("TYPE", key) == "hash"
    assert replica.changes() == ["success"]


def test_a_server_that_lost_its_data_grants_no_new_burst(start, valkey):
    replica = start(valkey.url, RATE_LIMIT_PER_CLIENT="1/h", RATE_LIMIT_BURST="50")
    statuses = [shout(replica)[0] for _ in range(52)]
    assert statuses == [200] * 50 + [429] * 2
    valkey.kill()
    replica.until_down()
    assert shout(replica)[0] == 429
    valkey.launch()
    replica.until_up()
    assert sum(shout(replica)[0] == 200 for _ in range(20)) <= 5, "at most a tenth of the burst"


def test_a_cluster_that_loses_a_node_and_gets_it_back(start, tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        replica = start(cluster.url, **QUOTA)
        answers(replica)
        for node in cluster.nodes[1:]:
            os.kill(node.pid, signal.SIGSTOP)
        try:
            until_noticed(replica)
            answers(replica, "during")
        finally:
            for node in cluster.nodes[1:]:
                os.kill(node.pid, signal.SIGCONT)
        replica.until_up()
        answers(replica, "after")


def test_a_cluster_whose_slots_move(start, tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        replica = start(cluster.url, **QUOTA)
        answers(replica)
        (quota,) = (key for key in cluster.keys() if key.startswith("shoutback:quota:"))
        bucket, heartbeats = cluster.move(quota), cluster.move("shoutback:{replicas}")

        def level():
            return float(bucket("HGET", quota, "level"))

        def heartbeat():
            _, time = heartbeats("ZRANGE", "shoutback:{replicas}", 0, -1, "WITHSCORES")
            return float(time)

        before, since = level(), heartbeat()
        replica.until("requests take from the moved bucket", lambda: answers(replica) or level() < before)
        replica.until("heartbeats follow", lambda: heartbeat() > since)
        assert replica.changes() == ["success"]


def test_a_cluster_that_is_down(start, tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        replica = start(cluster.url, **QUOTA)
        answers(replica)
        cluster.remove_slots()
        until_noticed(replica)
        assert requests_total(replica, "quota_lease", "cluster") + requests_total(replica, "heartbeat", "cluster") > 0
        answers(replica, "during")
        cluster.add_slots()
        replica.until_up()
        answers(replica, "after")


@pytest.mark.parametrize("seconds", [3600, -3600], ids=["forward", "back"])
def test_a_clock_of_the_server_that_jumps_gives_no_new_burst(start_replicas, valkey, seconds):
    per_second, burst = 20, 100
    limits = {"RATE_LIMIT_PER_CLIENT": f"{per_second}/s", "RATE_LIMIT_BURST": str(burst)}
    # A jump may add what is gained in this time.
    replicas = start_replicas(valkey.url, count=2, VALKEY_TIMEOUT="200ms", **limits)

    def jump():
        # The clock is compared with times that are stored, so these are moved in the other direction.
        script = """
            redis.call('HINCRBY', KEYS[1], 'at', -ARGV[1] * 1000000)
            for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
                redis.call('ZINCRBY', KEYS[2], -ARGV[1] * 1000, id)
            end"""
        (key,) = valkey("KEYS", "shoutback:quota:*")
        valkey("EVAL", script, 2, key, "shoutback:{replicas}", seconds)

    result = send(round_robin(replicas), 5 * per_second, 8, {4: jump})
    assert set(result.statuses) == {200, 429}, result.statuses
    limit = result.limit(per_second, burst)
    assert 0.9 * limit <= result.accepted <= 1.1 * limit, result.statuses
    for replica in replicas:
        replica.until("it sees the other again", lambda replica=replica: replica.sees(2))
        assert replica.changes() == ["success"]


def test_a_peer_that_does_not_speak_the_protocol(start, shoutcloud):
    replica = start(f"redis://{shoutcloud.shoutcloud}", up=False, **QUOTA)
    answers(replica)
    assert not replica.is_up()
