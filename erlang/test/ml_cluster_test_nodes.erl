%% Nodes for the Common Test suites: this node made a distributed one, and hidden peers that answer
%% for ml_worker. Names carry the OS process, so that two runs on one machine do not meet.
-module(ml_cluster_test_nodes).

-export([distribute/0, name/1, start/2, start/3, os_pid/1, behave/2, configure/1]).
-export([until/1, until/2, compile_double/1, mute/1, mute_host/0, received_from/1]).

distribute() ->
    _ = os:cmd("epmd -daemon"),
    %% The daemon listens a moment after its starter has gone.
    until(fun() -> is_list(element(2, erl_epmd:names("127.0.0.1"))) end),
    case net_kernel:start([name("ct"), longnames]) of
        {ok, _} -> ok;
        {error, {already_started, _}} -> ok
    end,
    true = erlang:set_cookie(node(), ml_cluster_ct),
    ok.

name(Base) -> list_to_atom(Base ++ "_" ++ os:getpid() ++ "@127.0.0.1").

%% The double is compiled into the suite's private folder: the front's own code path must not hold
%% a module ml_worker.
compile_double(Config) ->
    Source = filename:join(proplists:get_value(data_dir, Config), "ml_worker.double"),
    Out = proplists:get_value(priv_dir, Config),
    {ok, Forms} = epp:parse_file(Source, []),
    {ok, ml_worker, Beam} = compile:forms(Forms, [report_errors]),
    ok = file:write_file(filename:join(Out, "ml_worker.beam"), Beam),
    Out.

start(Base, Dir) -> start(Base, Dir, ["-hidden"]).

start(Base, Dir, Args) ->
    {ok, Peer, Node} = peer:start_link(#{
        name => list_to_atom(Base ++ "_" ++ os:getpid()),
        host => "127.0.0.1",
        longnames => true,
        connection => standard_io,
        args => ["-setcookie", "ml_cluster_ct", "-pa", Dir, "-kernel", "dist_auto_connect", "never"
                 | Args]
    }),
    {Peer, Node}.

%% A node in epmd behind whose port a listener takes connections and says nothing. It is there while
%% the calling process is.
mute(Base) ->
    Node = name(Base),
    [Alive, _] = string:split(atom_to_list(Node), "@"),
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {active, false}, binary]),
    {ok, Port} = inet:port(Listener),
    {ok, Epmd} = gen_tcp:connect({127, 0, 0, 1}, epmd_port(), [binary, {packet, 2}, {active, false}]),
    Name = list_to_binary(Alive),
    Request = <<$x, Port:16, $H, 0, 6:16, 5:16, (byte_size(Name)):16, Name/binary, 0:16>>,
    ok = gen_tcp:send(Epmd, Request),
    ok = inet:setopts(Epmd, [{packet, raw}]),
    {ok, <<Kind, 0, _/binary>>} = gen_tcp:recv(Epmd, 0, 5000),
    true = lists:member(Kind, [$y, $v]),
    Node.

%% How many packets have come over the connection with a node.
received_from(Node) ->
    {ok, Owner} = net_kernel:node_info(Node, owner),
    {links, Links} = erlang:process_info(Owner, links),
    [Socket] = [Link || Link <- Links, is_port(Link)],
    {ok, [{recv_cnt, Count}]} = inet:getstat(Socket, [recv_cnt]),
    Count.

%% An address at whose epmd's port a listener says nothing. Where an epmd listens on all addresses
%% there is no room for it: then one that nobody has.
mute_host() ->
    case gen_tcp:listen(epmd_port(), [{ip, {127, 0, 0, 2}}, {active, false}]) of
        {ok, _} -> "127.0.0.2";
        {error, eaddrinuse} -> "192.0.2.1"
    end.

epmd_port() -> list_to_integer(os:getenv("ERL_EPMD_PORT", "4369")).

os_pid({Peer, _}) -> peer:call(Peer, os, getpid, []).

behave({Peer, _}, Behaviour) -> ok = peer:call(Peer, ml_worker, behave, [Behaviour]).

%% The application, started afresh with this environment.
configure(Env) ->
    _ = application:stop(ml_cluster),
    _ = application:unload(ml_cluster),
    ok = application:load(ml_cluster),
    [ok = application:set_env(ml_cluster, Key, Value) || {Key, Value} <- Env],
    application:ensure_all_started(ml_cluster).

until(Condition) -> until(Condition, 10000).

until(Condition, Left) when Left =< 0 -> error({never, Condition});
until(Condition, Left) ->
    case Condition() of
        true -> ok;
        false -> timer:sleep(20), until(Condition, Left - 20)
    end.
