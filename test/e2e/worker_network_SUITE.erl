%% @doc Names, addresses and ports: IPv6, short names, fixed ports, clusters without epmd.
-module(worker_network_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        ipv6_peer, ipv6_peer_is_joined, ipv6_and_ipv4_at_once, ipv6_tls, short_name_is_dialled,
        short_name_is_joined, short_name_tls, port_range, port_range_used_up, without_epmd,
        without_epmd_joins, without_epmd_tls, without_epmd_tls_joins, without_epmd_ipv6,
        without_epmd_ipv6_tls, without_epmd_ipv6_tls_joins
    ] ++ where_mounts_can_be_had([a_name_server_that_does_not_answer]).

where_mounts_can_be_had(Cases) ->
    case e2e:run("sh", ["-c", "unshare --mount true 2>/dev/null"]) of
        {0, _} ->
            Cases;
        _ ->
            io:format(user, "NOT RUN: ~p, no mount namespaces here~n", [Cases]),
            []
    end.

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_network),
    Folder = filename:join(proplists:get_value(priv_dir, Config), "pki"),
    ok = e2e_tls:make_pki(Folder),
    [{folder, Folder} | Config].

end_per_suite(_) -> e2e:stop_distribution().

cookie() -> atom_to_list(erlang:get_cookie()).

start(Words, Name, Arguments) ->
    Worker = e2e:spawn_program(
        Words ++ [Name, "--stop-with-stdin" | Arguments], [{"ML_WORKER_COOKIE", cookie()}]),
    ok = e2e:await_log(Worker, <<"ready">>, 60000),
    Worker.

%% What a fresh node with these words gets for Code.
from_node(Words, Code) ->
    e2e_tls:eval(none, Words ++ ["-setcookie", cookie(), "-noinput"], Code).

%% Code for a node that is joined: whether the worker W is there soon, and answers.
joined(W) ->
    io_lib:format(
        "W = '~s', Wait = fun F(0) -> never; F(I) -> case lists:member(W, nodes(hidden)) of true -> ok;"
        " false -> timer:sleep(50), F(I - 1) end end, {Wait(400), catch is_float(erpc:call(W, ml_worker, get_load, []))}",
        [W]).

called(W) ->
    io_lib:format("{net_adm:ping('~s'), catch is_float(erpc:call('~s', ml_worker, get_load, []))}", [W, W]).

ipv6_peer(_) ->
    Name = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Name, ["--listen", "::1"]),
    ?assertEqual({pong, true}, from_node(["-proto_dist", "inet6_tcp", "-name", e2e:unique(six) ++ "@::1"],
                                         called(Name))),
    ?assertEqual(ok, e2e:await_log(Worker, <<"address=::1">>, 5000)),
    ok = e2e:stop(Worker).

ipv6_peer_is_joined(_) ->
    Front = e2e:unique(front) ++ "@::1",
    Name = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Name, ["--listen", "::1", "--join", Front]),
    ?assertEqual({ok, true}, from_node(["-proto_dist", "inet6_tcp", "-name", Front], joined(Name))),
    ok = e2e:stop(Worker).

%% :: takes both; peers over IPv4 are logged with their IPv4 address.
ipv6_and_ipv4_at_once(_) ->
    Six = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Six, ["--listen", "::"]),
    ?assertEqual({pong, true}, from_node(["-proto_dist", "inet6_tcp", "-name", e2e:unique(six) ++ "@::1"],
                                         called(Six))),
    Four = e2e:unique(worker) ++ "@127.0.0.1",
    Other = start(["--name"], Four, ["--listen", "::"]),
    ?assertEqual(pong, net_adm:ping(list_to_atom(Four))),
    ?assertEqual(ok, e2e:await_log(Other, <<"address=127.0.0.1">>, 5000)),
    ok = e2e:stop(Other),
    ok = e2e:stop(Worker).

ipv6_tls(Config) ->
    Name = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Name, ["--listen", "::1" | worker_tls(Config)]),
    ?assertEqual({pong, true}, from_node(node_tls(Config, "inet6_tls") ++ ["-name", e2e:unique(six) ++ "@::1"],
                                         called(Name))),
    ok = e2e:stop(Worker).

worker_tls(Config) -> e2e_tls:worker_options(proplists:get_value(folder, Config), node).

%% What makes a node speak Protocol, one with TLS.
node_tls(Config, Protocol) ->
    Folder = proplists:get_value(folder, Config),
    e2e_tls:protocol_arguments(Protocol, e2e_tls:options(Folder, #{certificate => node})).

short_name_is_dialled(_) ->
    Name = e2e:unique(worker) ++ "@localhost",
    Worker = start(["--sname"], Name, ["--listen", "127.0.0.1"]),
    ?assertEqual({pong, true}, from_node(["-sname", e2e:unique(short) ++ "@localhost"], called(Name))),
    %% Nodes with long names and nodes with short ones do not meet; the worker says so at start.
    ?assertEqual(ok, e2e:await_log(Worker, <<"-sname">>, 1000)),
    ok = e2e:stop(Worker).

short_name_tls(Config) ->
    Name = e2e:unique(worker) ++ "@localhost",
    Worker = start(["--sname"], Name, ["--listen", "127.0.0.1" | worker_tls(Config)]),
    ?assertEqual({pong, true}, from_node(node_tls(Config, "inet_tls") ++ ["-sname", e2e:unique(short) ++ "@localhost"],
                                         called(Name))),
    ok = e2e:stop(Worker).

short_name_is_joined(_) ->
    Front = e2e:unique(front) ++ "@localhost",
    Name = e2e:unique(worker) ++ "@localhost",
    Worker = start(["--sname"], Name, ["--listen", "127.0.0.1", "--join", Front]),
    ?assertEqual({ok, true}, from_node(["-sname", Front], joined(Name))),
    ok = e2e:stop(Worker).

%% Three ports in a row that are free now.
free_range() ->
    First = e2e:free_port(),
    Free = fun(Port) ->
        case gen_tcp:listen(Port, [{ip, {127, 0, 0, 1}}]) of
            {ok, Socket} -> gen_tcp:close(Socket) =:= ok;
            {error, _} -> false
        end
    end,
    case First < 65000 andalso lists:all(Free, [First, First + 1]) of
        true -> First;
        false -> free_range()
    end.

range(First) -> lists:concat([First, "-", First + 1]).

port_of(Node) ->
    [Name, Host] = string:split(atom_to_list(Node), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, Host),
    Port.

port_range(_) ->
    First = free_range(),
    Workers = [e2e:start_worker(worker, ["--port-range", range(First)]) || _ <- [1, 2]],
    Nodes = [e2e:node_of(Worker) || Worker <- Workers],
    ?assertEqual([First, First + 1], [port_of(Node) || Node <- Nodes]),
    ?assertEqual([pong, pong], [net_adm:ping(Node) || Node <- Nodes]),
    [ok = e2e:stop(Worker) || Worker <- Workers].

port_range_used_up(_) ->
    First = free_range(),
    Held = [element(2, {ok, _} = gen_tcp:listen(Port, [{ip, {127, 0, 0, 1}}])) || Port <- [First, First + 1]],
    Program = e2e:spawn_program(
        ["--name", e2e:unique(worker) ++ "@127.0.0.1", "--listen", "127.0.0.1", "--port-range", range(First)],
        [{"ML_WORKER_COOKIE", cookie()}]),
    {Status, Output} = e2e:await_exit(Program),
    ?assertEqual({71, Output}, {Status, Output}),
    ?assertMatch({match, _}, re:run(Output, range(First))),
    [ok = gen_tcp:close(Socket) || Socket <- Held].

%% All nodes of a cluster without epmd listen at one port, each on an address of its own.
without_epmd(_) -> dialled_without_epmd([], []).
without_epmd_joins(_) -> joins_without_epmd([], []).
without_epmd_tls(Config) -> dialled_without_epmd(worker_tls(Config), node_tls(Config, "inet_tls")).
without_epmd_tls_joins(Config) -> joins_without_epmd(worker_tls(Config), node_tls(Config, "inet_tls")).

dialled_without_epmd(WorkerWords, NodeWords) ->
    Port = integer_to_list(e2e:free_port()),
    Name = e2e:unique(worker) ++ "@127.0.0.2",
    Worker = start(["--name"], Name, ["--listen", "127.0.0.2", "--no-epmd", "--port-range", Port | WorkerWords]),
    [Alive, _] = string:split(Name, "@"),
    ?assertEqual(noport, erl_epmd:port_please(Alive, "127.0.0.1")),
    ?assertEqual({pong, true}, from_node(NodeWords ++ no_epmd_words(e2e:unique(front) ++ "@127.0.0.3", Port),
                                         called(Name))),
    ok = e2e:stop(Worker).

joins_without_epmd(WorkerWords, NodeWords) ->
    Port = integer_to_list(e2e:free_port()),
    Front = e2e:unique(front) ++ "@127.0.0.3",
    Name = e2e:unique(worker) ++ "@127.0.0.2",
    Worker = start(["--name"], Name, ["--listen", "127.0.0.2", "--no-epmd", "--port-range", Port,
                                      "--join-port", Port, "--join", Front | WorkerWords]),
    ?assertEqual({ok, true}, from_node(NodeWords ++ no_epmd_words(Front, Port), joined(Name))),
    ok = e2e:stop(Worker).

no_epmd_words(Name, Port) ->
    ["-name", Name, "-start_epmd", "false", "-erl_epmd_port", Port,
     "-kernel", "inet_dist_use_interface", "{127,0,0,3}"].

%% Of IPv6 there is one address of this machine itself: of two nodes that share it only one can have
%% the port that all know, and the other one dials.
without_epmd_ipv6(_) -> dialled_without_epmd_ipv6([], ["-proto_dist", "inet6_tcp"]).
without_epmd_ipv6_tls(Config) -> dialled_without_epmd_ipv6(worker_tls(Config), node_tls(Config, "inet6_tls")).

dialled_without_epmd_ipv6(WorkerWords, NodeWords) ->
    Port = integer_to_list(e2e:free_port()),
    Name = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Name, ["--listen", "::1", "--no-epmd", "--port-range", Port | WorkerWords]),
    Words = ["-name", e2e:unique(six) ++ "@::1", "-start_epmd", "false", "-erl_epmd_port", Port,
             "-dist_listen", "false"],
    ?assertEqual({pong, true}, from_node(NodeWords ++ Words, called(Name))),
    ok = e2e:stop(Worker).

without_epmd_ipv6_tls_joins(Config) ->
    [Port, Ours] = [integer_to_list(e2e:free_port()) || _ <- [front, worker]],
    Front = e2e:unique(front) ++ "@::1",
    Name = e2e:unique(worker) ++ "@::1",
    Worker = start(["--name"], Name, ["--listen", "::1", "--no-epmd", "--port-range", Ours, "--join-port", Port,
                                      "--join", Front | worker_tls(Config)]),
    Words = ["-name", Front, "-start_epmd", "false", "-erl_epmd_port", Port],
    ?assertEqual({ok, true}, from_node(node_tls(Config, "inet6_tls") ++ Words, joined(Name))),
    ok = e2e:stop(Worker).

%% Of two nodes to join the host of one is asked for in vain, for minutes: the other one is joined at
%% once. The name server is one of ours, which says nothing.
a_name_server_that_does_not_answer(_) ->
    {ok, Silent} = gen_udp:open(53, [{ip, {127, 0, 0, 99}}]),
    File = filename:join("/tmp", e2e:unique("resolv.conf")),
    ok = file:write_file(File, "nameserver 127.0.0.99\noptions timeout:30 attempts:5\n"),
    Name = list_to_atom(e2e:unique(worker) ++ "@127.0.0.1"),
    {Options, Environment} = e2e:as_worker(Name, "127.0.0.1"),
    Program = filename:join([e2e:root(), "build", "ml_worker"]),
    Worker = e2e:spawn_program("unshare", ["--mount", "sh", "-c", "mount --bind $0 /etc/resolv.conf && exec \"$@\"",
                                           File, Program, "--join", "front@nowhere.example.com",
                                           "--join", atom_to_list(node()) | Options], Environment),
    ok = e2e:await_log(Worker, <<"ready">>, 60000),
    ok = e2e:eventually(fun() -> lists:member(Name, nodes(hidden)) end, 5000),
    ok = e2e:await_log(Worker, <<"no name server answers for its host">>, 20000),
    ok = e2e:stop(Worker),
    ok = file:delete(File),
    ok = gen_udp:close(Silent).
