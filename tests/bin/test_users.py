"""``mqtt-broker --users-file`` and ``mqtt-broker password`` as an operator meets them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from mqtt_adapters.users import Rights, UsersPolicy
from mqtt_core.broker import Accept
from mqtt_core.codec import ConnectPacket
from tests.bin.kit import broker, run

BROKER = [sys.executable, "-m", "mqtt_adapters.bin.broker"]


def hashed(password):
    done = subprocess.run([*BROKER, "password"], input=password, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def test_users_with_their_passwords_and_topics(tmp_path):
    users = tmp_path / "users.toml"
    users.write_text(f'[users.ann]\npassword = "{hashed("secret")}"\npublish = ["house/#"]\nsubscribe = ["#"]\n')
    with broker("--users-file", users) as running:
        where = ("-h", "127.0.0.1", "-p", running.port, "-t", "house/lamp", "-q", "1")
        ann = ("-u", "ann", "-P", "secret")
        assert run("producer", *where, *ann, "-m", "on", "-r") == (0, "", "")
        assert run("consumer", *where, *ann, "-C", "1") == (0, "on\n", "")
        code, _, err = run("producer", *where, "-u", "ann", "-P", "wrong", "-m", "on")
        assert (code, err) == (0x86, "mqtt-producer: connection refused: bad user name or password\n")
        code, _, err = run("producer", *where, "-m", "on")
        assert (code, err) == (0x87, "mqtt-producer: connection refused: a user name is needed\n")
        code, _, err = run("producer", "-h", "127.0.0.1", "-p", running.port, "-t", "x", "-q", "1", "-m", "y", *ann)
        assert (code, err) == (1, "mqtt-producer: the server refused the message: not authorized\n")


def test_a_file_of_users_that_is_wrong_refuses_the_start(tmp_path):
    users = tmp_path / "users.toml"
    users.write_text("[user.ann]")
    code, out, err = run("broker", "--users-file", users)
    assert (code, out) == (1, "")
    assert err == f"mqtt-broker: {users}: unknown key 'user'; did you mean 'users'?\n"


def test_a_password_is_salted_and_never_empty():
    assert hashed("secret") != hashed("secret")
    done = subprocess.run([*BROKER, "password"], input="\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "mqtt-broker password: an empty password is none\n")


def on_a_terminal(*lines):
    """What is shown, and the exit code."""
    ours, theirs = pty.openpty()
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen([*BROKER, "password"], **ends, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        for prompt, line in zip((b"Password: ", b"Again: "), lines, strict=True):
            while prompt not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, line + b"\n")
        while True:
            try:
                data = os.read(ours, 1000)
            except OSError:
                break
            if not data:
                break
            shown += data
        code = process.wait(10)
    os.close(ours)
    return shown.decode(), code


def test_a_password_is_any_bytes_and_has_to_be_given():
    done = subprocess.run([*BROKER, "password"], input=b"p\xe9ss\n", capture_output=True, check=False)
    policy = UsersPolicy({"ann": Rights(password=done.stdout.decode().strip())})
    assert isinstance(policy.authenticate(ConnectPacket(username="ann", password=b"p\xe9ss"), ""), Accept)
    shell = ["sh", "-c", '"$@" <&-', "sh", *BROKER, "password"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "mqtt-broker password: no password was given\n")


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown():
    shown, code = on_a_terminal(b"secret", b"secret")
    assert code == 0
    assert "scrypt$" in shown
    assert "secret" not in shown
    shown, code = on_a_terminal(b"secret", b"sekret")
    assert code == 1
    assert "the two are not the same" in shown
