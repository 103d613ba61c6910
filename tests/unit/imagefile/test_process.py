# SPDX-License-Identifier: Apache-2.0
"""Every limit is proved by exceeding it, with programs that need no qemu."""

import dataclasses
import errno
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import process
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import starter
from glance_tasks.testing import doubles
from tests.support import programs

PLENTY = restraint.Limits(
    processor_seconds=60,
    wall_seconds=60,
    memory=4 << 30,
    file_size=1 << 30,
)


def python(code, *words, stdout=subprocess.DEVNULL, stop=None, **limits):
    """Run a program of a few lines under limits."""
    return process.Process(
        [sys.executable, "-I", "-S", "-c", code, *words],
        dataclasses.replace(PLENTY, **limits),
        stop or doubles.NeverStop(),
        stdout=stdout,
    )


def failure(code, *words, **limits):
    with (
        python(code, *words, **limits) as program,
        pytest.raises(exceptions.TaskError) as caught,
    ):
        program.require_success()
    return caught.value


def test_a_program_that_succeeds_is_no_error():
    with python("") as program:
        program.require_success()


def test_a_program_that_fails_tells_the_operator_why():
    error = failure("import sys; sys.exit('the disk is bad')")

    assert error.code == "convert_failed"
    assert "the disk is bad" not in str(error)
    assert error.detail["stderr"] == "the disk is bad"
    assert error.detail["status"] == 1


def test_only_the_end_of_many_messages_is_kept():
    error = failure("import sys; sys.exit('x' * 100_000 + 'the end')")

    assert len(error.detail["stderr"]) <= 4096
    assert error.detail["stderr"].endswith("the end")


def test_processor_time_is_limited():
    error = failure("while True: pass", processor_seconds=1)

    assert error.code == "convert_cpu_limit"
    assert "1 s of processor time" in str(error)


def test_wall_clock_is_limited():
    error = failure("import time; time.sleep(60)", wall_seconds=0.5)

    assert error.code == "convert_timeout"
    assert "longer than 0.5 s" in str(error)


def test_memory_is_limited():
    code = "import os, sys\ntry: bytearray(1 << 30)\n"
    code += "except MemoryError: sys.exit('Cannot allocate memory')"

    error = failure(code, memory=256 << 20)

    assert error.code == "convert_memory_limit"
    assert f"{256 << 20} bytes" in str(error)


def test_the_size_of_files_is_limited(tmp_path):
    code = "import signal, sys; file = open(sys.argv[1], 'wb')\n"
    code += "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
    code += "while True: file.write(bytes(1 << 16))"

    error = failure(code, str(tmp_path / "file"), file_size=1 << 20)

    assert error.code == "convert_size_limit"
    assert (tmp_path / "file").stat().st_size == 1 << 20


def test_a_program_that_is_told_of_the_size_of_files_is_understood(tmp_path):
    code = "import sys; file = open(sys.argv[1], 'wb')\n"
    code += "while True: file.write(bytes(1 << 16))"

    error = failure(code, str(tmp_path / "file"), file_size=1 << 20)

    assert error.code == "convert_size_limit"


def test_a_full_disk_is_told_apart():
    error = failure("import sys; sys.exit('No space left on device')")

    assert error.code == "disk_full"


def test_a_killed_program_has_failed():
    with python("import time; time.sleep(60)") as program:
        os.kill(program.pid, 9)
        with pytest.raises(exceptions.ConvertError) as caught:
            program.require_success()

    assert caught.value.code == "convert_failed"
    assert caught.value.detail["status"] == -9


def test_a_program_that_is_not_installed_is_the_operators_fault():
    with pytest.raises(exceptions.ConfigurationError, match="qemu-none is"):
        process.Process(["qemu-none"], PLENTY, doubles.NeverStop())


def test_a_program_sees_nothing_of_our_environment(monkeypatch):
    monkeypatch.setenv("OS_PASSWORD", "secret")
    code = "import os; print(sorted(os.environ), os.getcwd())"

    with python(code, stdout=subprocess.PIPE) as program:
        printed = program.stdout.read().decode()

    assert "OS_PASSWORD" not in printed
    assert "LC_ALL" in printed
    assert printed.endswith(" /\n")


def test_a_program_runs_at_low_priority_in_a_session_of_its_own():
    code = "import os; print(os.getpriority(0, 0), os.getsid(0), os.getpid())"

    with python(code, stdout=subprocess.PIPE) as program:
        nice, session, pid = map(int, program.stdout.read().split())

    assert nice == 10
    assert session == pid == program.pid


def test_a_program_may_not_dump_its_memory():
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_CORE))"

    with python(code, stdout=subprocess.PIPE) as program:
        assert program.stdout.read() == b"(0, 0)\n"


LOWERED = """
import os, resource
from glance_tasks.imagefile import restraint
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
restraint.Limits(60, 60, 4 << 30, 1 << 30).apply(os.getpid())
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_limit_that_a_service_manager_set_lower_stays():
    done = subprocess.run(
        [sys.executable, "-c", LOWERED],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )

    assert done.stdout == b"(100, 100)\n"


def test_leaving_kills_the_children_of_a_program_too():
    code = "import os, time; print(os.fork(), flush=True); time.sleep(60)"

    with python(code, stdout=subprocess.PIPE) as program:
        pids = [program.pid, int(program.stdout.readline())]
        assert all(programs.alive(pid) for pid in pids if pid)

    programs.eventually(
        lambda: not any(programs.alive(pid) for pid in pids if pid)
    )


def test_a_program_that_succeeds_leaves_no_child_behind():
    code = "import os, time; child = os.fork(); child or time.sleep(60)\n"
    code += "print(child, flush=True)"

    with python(code, stdout=subprocess.PIPE) as program:
        child = int(program.stdout.readline())
        program.require_success()

    programs.eventually(lambda: not programs.alive(child))


def test_leaving_by_an_error_kills_a_program():
    with (
        pytest.raises(ValueError, match="ours"),
        python("import time; time.sleep(60)") as program,
    ):
        raise ValueError("ours")

    assert not programs.alive(program.pid)


def test_a_stop_is_heard_while_waiting_for_a_program():
    stop = doubles.StopAfter(3)

    with (
        pytest.raises(exceptions.LeaseLost),
        python("import time; time.sleep(60)", stop=stop) as program,
    ):
        program.require_success()

    assert not programs.alive(program.pid)


PARENT = """
import sys, time
from glance_tasks.imagefile import process, restraint
from glance_tasks.testing import doubles
plenty = restraint.Limits(60, 60, 4 << 30, 1 << 30)
with process.Process(["sleep", "60"], plenty, doubles.NeverStop()) as program:
    print(program.pid, flush=True)
    time.sleep(60)
"""


def test_a_program_dies_with_a_parent_that_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    name = pathlib.Path(f"/proc/{pid}/comm")
    programs.eventually(lambda: name.read_text() == "sleep\n")

    parent.kill()

    parent.wait()
    parent.stdout.close()
    programs.eventually(lambda: not programs.alive(pid))


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        pytest.param("1", b"\n", id="a parent that is gone"),
        pytest.param(str(os.getpid()), b"", id="a parent that says nothing"),
    ],
)
def test_a_program_whose_parent_died_before_it_began_does_not_begin(
    tmp_path, parent, said
):
    words = ["/bin/sh", "-c", starter.GATE, parent, "touch", "began"]

    done = subprocess.run(words, cwd=tmp_path, input=said, check=False)

    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_limits_are_in_place_before_a_program_begins():
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_AS)[0])"

    with python(code, stdout=subprocess.PIPE, memory=1 << 30) as program:
        assert int(program.stdout.read()) == 1 << 30


def test_a_program_outlives_other_threads_that_end():
    with python("import time; time.sleep(0.3)") as program:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()

        program.require_success()


REACHING = """
import socket, sys
server, place = socket.socket(socket.AF_UNIX), sys.argv[2]
server.bind(place), server.listen(1)
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
    print("reached")
except OSError:
    print("cut off")
server.accept()[0].sendall(b"by file")
"""


@pytest.fixture
def namespaces():
    if not starter.confinement():
        pytest.skip("the kernel gives no namespaces")


def test_a_program_has_no_network_but_the_sockets_that_are_files(
    namespaces, tmp_path
):
    place = tmp_path / "socket"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        words = [REACHING, port, str(place)]
        with (
            python(*words, stdout=subprocess.PIPE) as program,
            socket.socket(socket.AF_UNIX) as client,
        ):
            programs.eventually(place.exists)
            programs.eventually(lambda: client.connect_ex(str(place)) == 0)
            assert client.recv(100) == b"by file"
            assert program.stdout.read() == b"cut off\n"


def test_where_the_kernel_gives_no_namespaces_a_program_runs_all_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(starter, "_PATH", str(tmp_path))
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    for name in ("setpriv", "sh", "true"):
        (tmp_path / name).symlink_to(shutil.which(name))
    starter.confinement.cache_clear()

    with python("print(1)", stdout=subprocess.PIPE) as program:
        printed = program.stdout.read()

    assert starter.confinement() == ()
    assert printed == b"1\n"
    starter.confinement.cache_clear()


OPENING = """
import sys
files = []
try:
    while True: files.append(open("/dev/null"))
except OSError as error:
    print(error.errno, len(files))
"""


def test_the_number_of_open_files_is_limited():
    with python(OPENING, stdout=subprocess.PIPE) as program:
        number, opened = map(int, program.stdout.read().split())

    assert number == errno.EMFILE
    assert opened < 256


def test_a_program_may_not_gain_rights():
    code = "print(open('/proc/self/status').read())"

    with python(code, stdout=subprocess.PIPE) as program:
        status = program.stdout.read()

    assert b"NoNewPrivs:\t1\n" in status


def test_a_program_inherits_no_file_of_ours(tmp_path):
    code = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    with (tmp_path / "secret").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)

        with python(code, stdout=subprocess.PIPE) as program:
            printed = program.stdout.read()

    # The fourth is the listing's own.
    assert printed == b"['0', '1', '2', '3']\n"


def test_a_crash_leaves_no_core(tmp_path):
    code = "import os, sys; os.chdir(sys.argv[1]); os.abort()"

    error = failure(code, str(tmp_path))

    assert error.detail["status"] == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []
