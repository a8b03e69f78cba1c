#!/usr/bin/env python3
"""Records the seeds in test/fuzz/corpus/: what a real Erlang node and a real epmd send.

usage: record.py

Starts build/ml_worker without epmd on one address, an Erlang node that believes every node to
listen at one port, and between them a relay that keeps the node's bytes. Then cuts them into the
inputs of the targets. Run it again when an OTP release sends something new.
"""

import os
import pathlib
import socket
import struct
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT / "test" / "fuzz" / "corpus"
COOKIE = "cookie"
LARGEST_SEED = 8192
RELAY, WORKER, PEER = "127.0.0.11", "127.0.0.12", "127.0.0.13"

CALLS = """
W = 'worker1@127.0.0.11', A = [[<<"a text">>, "zwei"], default],
pong = net_adm:ping(W),
rpc:call(W, ml_worker, encode, A),
rpc:block_call(W, ml_worker, encode, A ++ [#{format => binary, usage => true}]),
rpc:call(W, ml_worker, encode, A ++ [[{truncate, false}, {timeout_ms, 1000}, normalize]]),
rpc:call(W, ml_worker, predict, [<<"x">>, "default", #{}]),
rpc:call(W, ml_worker, tokenize, A),
[rpc:call(W, ml_worker, F, []) || F <- [info, get_load, health, models, metrics]],
rpc:multicall([W], ml_worker, encode, A), rpc:cast(W, ml_worker, encode, A),
erpc:call(W, ml_worker, encode, A), erpc:cast(W, ml_worker, encode, A),
catch erpc:call(W, ml_worker, encode, A, 0),
R = erlang:monitor(process, {rex, W}), erlang:demonitor(R),
{net_kernel, W} ! hello, spawn(W, os, cmd, ["id"]), {_, M} = spawn_monitor(W, lists, seq, [1, 3]),
receive {'DOWN', M, _, P, _} -> catch link(P), unlink(P), exit(P, kill) after 2000 -> ok end,
seq_trace:set_token(label, 17), {net_kernel, W} ! traced, erpc:call(W, ml_worker, info, []),
seq_trace:set_token([]), {rex, W} ! {1.5, 1 bsl 70, make_ref(), self(), #{k => v}, fun lists:seq/2},
rpc:call(W, ml_worker, encode, [[binary:copy(<<"long ">>, 30000)], default]),
timer:sleep(1000), halt().
"""


def free_port():
    with socket.socket() as probe:
        probe.bind((RELAY, 0))
        return probe.getsockname()[1]


def relay(port, kept):
    """Passes one connection on to the worker; `kept` gets what came from each side."""
    with socket.create_server((RELAY, port)) as listener:
        near, _ = listener.accept()
    far = socket.create_connection((WORKER, port))

    def pump(source, target, name):
        while data := source.recv(65536):
            kept[name] += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=pump, args=(far, near, "worker"))
    back.start()
    pump(near, far, "peer")
    back.join()


def record():
    port, kept = free_port(), {"peer": b"", "worker": b""}
    worker = subprocess.Popen(
        [ROOT / "build" / "ml_worker", "--name", f"worker1@{RELAY}", "--listen", WORKER, "--no-epmd",
         "--port-range", str(port)],
        env=os.environ | {"ML_WORKER_COOKIE": COOKIE}, stderr=subprocess.PIPE)
    while b"ready" not in worker.stderr.readline():
        pass
    passing = threading.Thread(target=relay, args=(port, kept))
    passing.start()
    subprocess.run(["erl", "-noinput", "-name", f"front@{PEER}", "-setcookie", COOKIE, "-hidden",
                    "-start_epmd", "false", "-erl_epmd_port", str(port), "-kernel",
                    "inet_dist_use_interface", "{" + PEER.replace(".", ",") + "}", "-eval", CALLS],
                   check=True)
    passing.join()
    worker.terminate()
    worker.wait()
    return kept["peer"], kept["worker"]


def cut(stream, width):
    """Length-prefixed pieces of the front of a stream: (piece, rest)."""
    length = int.from_bytes(stream[:width], "big")
    return stream[width:width + length], stream[width + length:]


def split_handshake(stream, messages):
    """The first messages as they stand in the stream, and what follows."""
    rest = stream
    for _ in range(messages):
        _, rest = cut(rest, 2)
    return stream[:len(stream) - len(rest)], rest


def seed(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    if len(data) <= LARGEST_SEED:
        (folder / name).write_bytes(data)


def counted(body):
    return struct.pack(">H", len(body)) + body


def record_frames(stream):
    frames = []
    while stream:
        frame, stream = cut(stream, 4)
        frames.append(frame)
    # A header without atoms, or with a version byte for each term.
    whole = [b"\0" + frame[3:] for frame in frames if frame[:3] == b"\x83D\0"]
    whole += [b"\1" + frame[1:] for frame in frames if frame[:1] == b"p"]
    fragments = [frame for frame in frames if frame[:2] in (b"\x83E", b"\x83F")]
    as_sent = [struct.pack(">I", len(frame)) + frame[:2000] for frame in frames]
    for number, frame in enumerate(as_sent[:60:4]):
        seed("frames_fuzz", f"frame{number}", bytes([number]) + frame)
    seed("frames_fuzz", "fragments", b"\x40" + b"".join(struct.pack(">I", 200) + frame[:200]
                                                          for frame in fragments))
    for number, frame in enumerate(whole):
        if len(frame) < 2000:
            seed("control_fuzz", f"message{number}", frame[:1] + counted(frame[1:]))
            seed("terms_fuzz", f"control{number}", (b"" if frame[0] else b"\x83") + frame[1:])
    messages = b"".join(counted(frame[1:]) for frame in whole if frame[0] == 0 and len(frame) < 300)
    for name, ways in {"all": 0, "all_too_large": 32, "all_no_room": 64}.items():
        seed("control_fuzz", name, bytes([ways]) + messages)
    return whole


def record_requests(whole):
    """The argument lists of calls: what follows the function's name."""
    for function, name in enumerate((b"encode", b"predict", b"tokenize")):
        atom = b"w" + bytes([len(name)]) + name
        for number, frame in enumerate(whole):
            at = frame.find(atom)
            if at >= 0:
                arguments = b"\x83" + frame[at + len(atom):]
                seed("requests_fuzz", f"{name.decode()}{number}", bytes([function]) + arguments)
                seed("terms_fuzz", f"{name.decode()}{number}", arguments)


def record_epmd():
    """The answers of an epmd of our own: registered, found, not found."""
    port = free_port()
    epmd = subprocess.Popen(["epmd", "-port", str(port), "-address", "127.0.0.1"])
    request = b"x" + struct.pack(">HBBHHH", 4000, 72, 0, 6, 5, 5) + b"front" + b"\0\0"

    def ask(message, connection=None):
        connection = connection or socket.create_connection(("127.0.0.1", port))
        connection.sendall(counted(message))
        return connection.recv(512), connection

    while True:
        try:
            held = socket.create_connection(("127.0.0.1", port))
            break
        except ConnectionRefusedError:
            pass
    seed("epmd_fuzz", "registered", ask(request, held)[0])
    seed("epmd_fuzz", "found", ask(b"zfront")[0])
    seed("epmd_fuzz", "not_found", ask(b"znobody")[0])
    epmd.terminate()
    epmd.wait()


def record_files():
    """Small files of the formats that models come in."""
    header = b'{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"__metadata__":{"format":"pt"}}'
    seed("safetensors_fuzz", "two_by_two", struct.pack("<Q", len(header)) + header + bytes(16))
    seed("tokenizer_fuzz", "wordpiece", b"""{"added_tokens":[{"id":0,"content":"[PAD]","special":true}],
"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,
"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing",
"single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":
{"id":"[SEP]","type_id":0}}],"pair":[],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},
"[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},"model":{"type":"WordPiece","unk_token":"[UNK]",
"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,
"[SEP]":3,"a":4,"##b":5}}}""")


def main():
    from_peer, from_worker = record()
    said, stream = split_handshake(from_peer, 2)
    answered, _ = split_handshake(from_worker, 3)
    for known in (0, 2, 4):
        seed("handshake_fuzz", f"dialled{known}", bytes([8 + known]) + said)
        seed("handshake_fuzz", f"wrong_cookie{known}", bytes([known]) + said)
    seed("handshake_fuzz", "dialling", b"\x09" + answered.replace(b"worker1@" + RELAY.encode(),
                                                                   b"front@127.0.0.1"))
    record_requests(record_frames(stream))
    record_epmd()
    record_files()
    print(sum(1 for path in CORPUS.rglob("*") if path.is_file()), "seeds")


if __name__ == "__main__":
    main()
