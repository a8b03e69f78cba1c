%% @doc Clusters with -proto_dist inet_tls: a real worker and real nodes of OTP 25, 27 and 29, with
%% certificates made here.
-module(worker_tls_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() -> [{group, Release} || Release <- releases()] ++
    [
        dialled_by_the_worker, plain_peer, worker_without_tls, plain_port_joined, no_certificate,
        no_certificate_allowed, wrong_authority, expired_certificate, wrong_host, host_not_checked,
        nothing_verified, key_that_others_read, wrong_files, minimum_version, ciphers,
        reloads_on_hangup, keeps_old_files, silent_in_tls_handshake,
        a_peer_that_does_not_read_is_cut, wrong_cookie
    ].

groups() -> [{Release, [], [every_way_to_call, large_messages]} || Release <- releases()].

releases() -> [otp25 | e2e:later_releases()].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_tls),
    Folder = filename:join(proplists:get_value(priv_dir, Config), "pki"),
    ok = e2e_tls:make_pki(Folder),
    Worker = start(Folder, node, []),
    [{folder, Folder}, {worker, Worker} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

init_per_group(otp25, Config) -> [{root, none}, {seen, proplists:get_value(folder, Config)} | Config];
init_per_group(Release, Config) ->
    Root = filename:join([e2e:root(), ".deps", Release]),
    Seen = filename:join("/tmp", e2e:unique(pki)),
    _ = os:cmd(lists:concat(["cp -r '", proplists:get_value(folder, Config), "' ", Root, Seen])),
    [{root, Root}, {seen, Seen} | Config].

end_per_group(otp25, _) -> ok;
end_per_group(_, Config) ->
    os:cmd(lists:concat(["rm -rf ", proplists:get_value(root, Config), proplists:get_value(seen, Config)])).

name(Word) -> e2e:unique(Word) ++ "@127.0.0.1".

%% A worker that speaks TLS, ready.
start(Folder, Certificate, Arguments) ->
    start_with(e2e_tls:worker_options(Folder, Certificate) ++ Arguments).

start_with(Arguments) ->
    Name = name(worker),
    Worker = e2e:spawn_program(
        ["--name", Name, "--listen", "127.0.0.1", "--stop-with-stdin" | Arguments],
        [{"ML_WORKER_COOKIE", atom_to_list(erlang:get_cookie())}]),
    ok = e2e:await_log(Worker, <<"ready">>, 60000),
    Worker#{node := list_to_atom(Name)}.

%% What a fresh TLS node, as How says, gets for Code; "~s" in it is the worker.
from_node(Config, Worker, How, Code) ->
    Folder = proplists:get_value(folder, Config),
    Seen = proplists:get_value(seen, Config, Folder),
    Root = proplists:get_value(root, Config, none),
    Written = case Root of none -> Folder; _ -> Root ++ Seen end,
    Options = e2e_tls:options(Written, maps:merge(#{certificate => node, path => Seen}, How)),
    Arguments = e2e_tls:node_arguments(name(peer), "inet_tls", Options),
    e2e_tls:eval(Root, Arguments, io_lib:format(Code, [e2e:node_of(Worker)])).

ping(Config, Worker, How) -> from_node(Config, Worker, How, "net_adm:ping('~s')").

log_says(Worker, Text) -> ?assertEqual(ok, e2e:await_log(Worker, Text, 20000)).

every_way_to_call(Config) ->
    ?assertMatch({pong, 384, true, 384, pong}, from_node(Config, proplists:get_value(worker, Config), #{},
        "N = '~s', A = [[<<\"by TLS\">>], default], P = net_adm:ping(N),"
        "#{embeddings := [V]} = rpc:call(N, ml_worker, encode, A),"
        "#{embeddings := [V]} = rpc:block_call(N, ml_worker, encode, A),"
        "{[#{embeddings := [V]}], []} = rpc:multicall([N], ml_worker, encode, A),"
        "#{embeddings := [V]} = erpc:call(N, ml_worker, encode, A),"
        "{badrpc, {'EXIT', {undef, _}}} = rpc:call(N, os, cmd, [\"id\"]),"
        "C = rpc:cast(N, ml_worker, encode, A), #{embeddings := [W]} = erpc:call(N, ml_worker, encode, A),"
        "{P, length(V), C, length(W), net_adm:ping(N)}")).

%% Megabytes both ways, several records and fragments each.
large_messages(Config) ->
    ?assertMatch({2000, true}, from_node(Config, proplists:get_value(worker, Config), #{},
        "Texts = [<<(integer_to_binary(I))/binary, (binary:copy(<<\" word\">>, 200))/binary>> ||"
        " I <- lists:seq(1, 2000)],"
        "Ids = rpc:call('~s', ml_worker, tokenize, [Texts, default]),"
        "{length(Ids), byte_size(term_to_binary(Ids)) > 400000}")).

dialled_by_the_worker(Config) ->
    Folder = proplists:get_value(folder, Config),
    Front = name(front),
    Worker = start(Folder, node, ["--join", Front]),
    Options = e2e_tls:options(Folder, #{certificate => node}),
    Code = io_lib:format(
        "W = '~s', Wait = fun F(0) -> never; F(I) -> case lists:member(W, nodes(hidden)) of true -> ok;"
        " false -> timer:sleep(50), F(I - 1) end end, {Wait(400), catch erpc:call(W, ml_worker, get_load, [])}",
        [e2e:node_of(Worker)]),
    ?assertMatch({ok, Load} when is_float(Load),
                 e2e_tls:eval(none, e2e_tls:node_arguments(Front, "inet_tls", Options), Code)),
    ok = e2e:stop(Worker).

plain_peer(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(pang, net_adm:ping(e2e:node_of(Worker))),
    log_says(Worker, <<"the peer does not speak TLS">>),
    ?assertEqual(pong, ping(Config, Worker, #{})).

worker_without_tls(Config) ->
    Worker = start_with([]),
    ?assertEqual(pang, ping(Config, Worker, #{})),
    log_says(Worker, <<"the peer speaks TLS, and we do not">>),
    ?assertEqual(pong, net_adm:ping(e2e:node_of(Worker))),
    ok = e2e:stop(Worker).

%% Both mix-ups again, with the worker as the one that dials.
plain_port_joined(Config) ->
    Folder = proplists:get_value(folder, Config),
    Worker = start(Folder, node, ["--join", atom_to_list(node())]),
    log_says(Worker, <<"cannot join">>),
    log_says(Worker, <<"TLS">>),
    ok = e2e:stop(Worker),
    Plain = start_with(["--join", atom_to_list(e2e:node_of(proplists:get_value(worker, Config)))]),
    log_says(Plain, <<"wants TLS">>),
    ok = e2e:stop(Plain).

no_certificate(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(pang, ping(Config, Worker, #{certificate => none})),
    log_says(Worker, <<"did not return a certificate">>).

no_certificate_allowed(Config) ->
    Worker = start(proplists:get_value(folder, Config), node, ["--tls-verify", "dialled"]),
    ?assertEqual(pong, ping(Config, Worker, #{certificate => none})),
    ok = e2e:stop(Worker).

%% The node trusts our CA, its own certificate is of another.
wrong_authority(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(pang, ping(Config, Worker, #{certificate => stranger})),
    log_says(Worker, <<"unable to get local issuer certificate">>).

expired_certificate(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(pang, ping(Config, Worker, #{certificate => expired})),
    log_says(Worker, <<"certificate has expired">>).

%% A node of our CA, but with the certificate of another host, is not what we dialled.
wrong_host(Config) ->
    {Log, Joined} = join_wrong_host(Config, [], <<"hostname mismatch">>),
    ?assertEqual({ok, false}, {Log, Joined}).

host_not_checked(Config) ->
    {Log, Joined} = join_wrong_host(Config, ["--tls-verify", "chain"], <<"peer connected">>),
    ?assertEqual({ok, true}, {Log, Joined}).

join_wrong_host(Config, Arguments, Text) ->
    Folder = proplists:get_value(folder, Config),
    Front = name(front),
    Port = open_port({spawn_executable, os:find_executable("erl")},
                     [{args, e2e_tls:node_arguments(Front, "inet_tls",
                                                    e2e_tls:options(Folder, #{certificate => wrong_host}))}]),
    Worker = start(Folder, node, ["--join", Front | Arguments]),
    Log = e2e:await_log(Worker, Text, 20000),
    Joined = binary:match(e2e:log(Worker), <<"peer connected">>) =/= nomatch,
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    _ = os:cmd("kill " ++ integer_to_list(Pid)),
    ok = e2e:stop(Worker),
    {Log, Joined}.

nothing_verified(Config) ->
    Folder = proplists:get_value(folder, Config),
    [_, Certificate, _, Key | _] = e2e_tls:worker_options(Folder, node),
    Worker = start_with(["--tls-cert", Certificate, "--tls-key", Key, "--tls-verify", "nothing"]),
    ?assertEqual(pong, ping(Config, Worker, #{certificate => stranger})),
    ok = e2e:stop(Worker).

%% Ends with Status and says Text.
refused(Status, Arguments, Texts) ->
    {Got, Output} = e2e:await_exit(e2e:spawn_program(["--name", name(worker) | Arguments],
                                                     [{"ML_WORKER_COOKIE", "irrelevant"}])),
    ?assertEqual({Status, Output}, {Got, Output}),
    [?assertMatch({match, _}, re:run(Output, Text)) || Text <- Texts].

key_that_others_read(Config) ->
    Folder = proplists:get_value(folder, Config),
    ok = e2e_tls:issue(Folder, open_key, ca),
    Key = filename:join(Folder, "open_key.key"),
    [begin
        ok = file:change_mode(Key, Mode),
        refused(78, e2e_tls:worker_options(Folder, open_key), ["open_key.key", "0400 or 0600"])
     end || Mode <- [8#640, 8#604, 8#620]],
    ok = file:change_mode(Key, 8#400),
    ok = e2e:stop(start(Folder, open_key, [])).

wrong_files(Config) ->
    Folder = proplists:get_value(folder, Config),
    [A, Certificate, B, Key, C, Authority] = e2e_tls:worker_options(Folder, node),
    Other = filename:join(Folder, "wrong_host.key"),
    refused(78, [A, "/nonexistent", B, Key, C, Authority], ["certificate /nonexistent"]),
    refused(78, [A, Certificate, B, "/nonexistent", C, Authority], ["key /nonexistent"]),
    refused(78, [A, Certificate, B, Key, C, "/nonexistent"], ["CA /nonexistent"]),
    refused(78, [A, Certificate, B, Other, C, Authority], ["expected the PEM key"]),
    refused(78, [A, Certificate, B, Key, C, Authority, "--tls-ciphers", "NONE-SUCH"], ["NONE-SUCH"]),
    refused(64, [A, Certificate, B, Key], ["--tls-ca"]),
    refused(64, [C, Authority], ["--tls-cert"]),
    refused(64, [A, Certificate, B, Key, C, Authority, "--tls-min-version", "1.1"], ["1.1"]).

%% What `openssl s_client' agrees on with this worker.
agreed(Config, Worker, Arguments) ->
    Folder = proplists:get_value(folder, Config),
    [Name, _] = string:split(atom_to_list(e2e:node_of(Worker)), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, "127.0.0.1"),
    Command = io_lib:format("cd '~s' && openssl s_client -connect 127.0.0.1:~b -cert node.pem -key node.key "
                            "-CAfile ca.pem ~s </dev/null", [Folder, Port, Arguments]),
    {_, Output} = e2e:run("sh", ["-c", lists:flatten(Command)]),
    case re:run(Output, "New, (TLSv1\\.[23]), Cipher is (\\S+)", [{capture, all_but_first, list}]) of
        {match, Agreed} -> Agreed;
        nomatch -> nothing
    end.

minimum_version(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(nothing, agreed(Config, Worker, "-tls1_1 -cipher DEFAULT@SECLEVEL=0")),
    ?assertMatch(["TLSv1.2", _], agreed(Config, Worker, "-tls1_2")),
    ?assertMatch(["TLSv1.3", _], agreed(Config, Worker, "")),
    %% Elliptic curves only.
    [?assertMatch(["TLSv1.3", _], agreed(Config, Worker, "-groups " ++ Group)) || Group <- ["P-384", "X448"]],
    ?assertEqual(nothing, agreed(Config, Worker, "-groups ffdhe2048")),
    Strict = start(proplists:get_value(folder, Config), node, ["--tls-min-version", "1.3"]),
    ?assertEqual(nothing, agreed(Config, Strict, "-tls1_2")),
    ?assertEqual(pong, ping(Config, Strict, #{versions => ['tlsv1.3']})),
    ok = e2e:stop(Strict).

ciphers(Config) ->
    Worker = start(proplists:get_value(folder, Config), node,
                   ["--tls-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256"]),
    ?assertEqual(["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"], agreed(Config, Worker, "-tls1_2")),
    ?assertEqual(["TLSv1.3", "TLS_AES_128_GCM_SHA256"], agreed(Config, Worker, "")),
    ?assertEqual(nothing, agreed(Config, Worker, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")),
    ?assertEqual(pong, ping(Config, Worker, #{})),
    ok = e2e:stop(Worker).

%% The files of a certificate that is not there yet take the place of ours.
reloads_on_hangup(Config) ->
    Folder = proplists:get_value(folder, Config),
    ok = e2e_tls:issue(Folder, changing, ca, #{hosts => "DNS:elsewhere.example.com"}),
    Worker = start(Folder, changing, []),
    ?assertEqual(pang, ping(Config, Worker, #{})),
    ok = e2e_tls:issue(Folder, changing, ca),
    ?assertEqual(pang, ping(Config, Worker, #{})),
    "" = e2e:signal(Worker, "HUP"),
    log_says(Worker, <<"TLS files read again">>),
    ?assertEqual(pong, ping(Config, Worker, #{})),
    ok = e2e:stop(Worker).

keeps_old_files(Config) ->
    Folder = proplists:get_value(folder, Config),
    ok = e2e_tls:issue(Folder, breaking, ca),
    Worker = start(Folder, breaking, []),
    ok = file:write_file(filename:join(Folder, "breaking.pem"), "no certificate"),
    "" = e2e:signal(Worker, "HUP"),
    log_says(Worker, <<"TLS files not read again">>),
    log_says(Worker, <<"breaking.pem">>),
    ?assertEqual(pong, ping(Config, Worker, #{})),
    ok = e2e:stop(Worker).

%% TLS's handshake is under the deadline of the whole.
silent_in_tls_handshake(Config) ->
    Worker = proplists:get_value(worker, Config),
    Silent = [dist_wire:connect(e2e:node_of(Worker)) || _ <- lists:seq(1, 50)],
    [ok = gen_tcp:send(Socket, <<22, 3, 1, 2, 0, 1>>) || Socket <- lists:sublist(Silent, 25)],
    ?assertEqual(pong, ping(Config, Worker, #{})),
    [?assertMatch({error, _}, gen_tcp:recv(Socket, 0, 15000)) || Socket <- Silent],
    log_says(Worker, <<"timed out in TLS's handshake">>).

%% life_SUITE has it without TLS.
a_peer_that_does_not_read_is_cut(Config) ->
    Folder = proplists:get_value(folder, Config),
    Worker = start(Folder, node, ["--send-timeout", "1"]),
    {ok, _} = application:ensure_all_started(ssl),
    Socket = dist_wire:connect(e2e:node_of(Worker), #{tls => e2e_tls:client_options(Folder)}),
    ok = dist_wire:handshake(Socket, name("deaf"), atom_to_list(erlang:get_cookie())),
    Texts = lists:duplicate(30000, <<"again">>),
    ok = dist_wire:send(Socket, dist_wire:spawn_request(self(), make_ref(), ml_worker, encode, [Texts, default])),
    log_says(Worker, <<"the peer does not read">>),
    ?assertEqual(pong, ping(Config, Worker, #{})),
    dist_wire:close(Socket),
    ok = e2e:stop(Worker).

wrong_cookie(Config) ->
    Worker = proplists:get_value(worker, Config),
    ?assertEqual(pang, from_node(Config, Worker, #{},
                                 "erlang:set_cookie(node(), wrong), net_adm:ping('~s')")),
    log_says(Worker, <<"wrong cookie">>).
