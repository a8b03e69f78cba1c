%% @doc The worker's functions over Erlang distribution: a real worker with the real model, called
%% by real nodes in every way that Erlang has.
-module(worker_rpc_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(MODEL, <<"all-MiniLM-L6-v2">>).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        ping, hidden, every_way_to_call, cast_reaches, multicall, many_peers, many_calls_at_once,
        vectors_are_sentence_transformers, cached_is_counted, order_is_kept, formats_agree,
        floats_are_the_shortest_decimals, normalize, truncation_is_said, dimensions, usage,
        predict, names_of_the_model, no_texts, charlists, info, get_load, health, undef,
        bad_arguments, limits, a_text_of_10_mb, the_connection_survives_all_that,
        a_long_computation_delays_no_ping, a_long_computation_delays_no_tick, a_caller_that_gives_up_cancels, timeout_ms,
        calls_of_another_node,
        other_modules_are_not_there, epmd_comes_back
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_rpc),
    Worker = e2e:start_worker(worker),
    true = (pong =:= net_adm:ping(e2e:node_of(Worker))),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% ---- Ways to reach it ----------------------------------------------------------------------------

ping(Config) -> ?assertEqual(pong, net_adm:ping(node_of(Config))).

hidden(Config) ->
    Node = node_of(Config),
    pong = net_adm:ping(Node),
    ?assert(lists:member(Node, nodes(hidden))),
    ?assertNot(lists:member(Node, nodes())).

every_way_to_call(Config) ->
    Node = node_of(Config),
    Args = [[<<"every way">>], default],
    #{embeddings := [Vector]} = rpc:call(Node, ml_worker, encode, Args),
    Same = fun(#{embeddings := [V]}) -> ?assertEqual(Vector, V) end,
    Same(rpc:call(Node, ml_worker, encode, Args, 5000)),
    Same(rpc:block_call(Node, ml_worker, encode, Args)),
    Same(rpc:yield(rpc:async_call(Node, ml_worker, encode, Args))),
    Same(erpc:call(Node, ml_worker, encode, Args)),
    Same(erpc:call(Node, ml_worker, encode, Args, 5000)),
    Same(erpc:receive_response(erpc:send_request(Node, ml_worker, encode, Args), 5000)).

cast_reaches(Config) ->
    Node = node_of(Config),
    Text = <<"only a cast has embedded this text">>,
    true = rpc:cast(Node, ml_worker, encode, [[Text], default]),
    ok = erpc:cast(Node, ml_worker, encode, [[Text], default]),
    e2e:eventually(fun() ->
        #{cached := Cached} = rpc:call(Node, ml_worker, encode, [[Text], default]),
        Cached =:= 1
    end).

multicall(Config) ->
    Node = node_of(Config),
    Second = e2e:start_worker(worker),
    Nodes = [Node, e2e:node_of(Second)],
    Args = [[<<"both">>], default],
    {[#{embeddings := V}, #{embeddings := V}], []} = rpc:multicall(Nodes, ml_worker, encode, Args),
    [{ok, #{embeddings := V}}, {ok, #{embeddings := V}}] =
        erpc:multicall(Nodes, ml_worker, encode, Args),
    ok = e2e:stop(Second),
    {[_], [Dead]} = rpc:multicall(Nodes, ml_worker, encode, Args),
    ?assertEqual(e2e:node_of(Second), Dead).

many_peers(Config) ->
    Node = node_of(Config),
    Peers = [e2e:start_peer(peer) || _ <- lists:seq(1, 4)],
    Expected = rpc:call(Node, ml_worker, predict, [<<"from many peers">>, default]),
    Calls = [
        {P, erpc:send_request(PeerNode, erpc, call,
            [Node, ml_worker, predict, [<<"from many peers">>, default]])}
     || {_, PeerNode} = P <- Peers, _ <- lists:seq(1, 20)
    ],
    [?assertEqual(Expected, erpc:receive_response(Id, 30000)) || {_, Id} <- Calls],
    [e2e:stop_peer(Peer) || Peer <- Peers],
    ?assertEqual(pong, net_adm:ping(Node)).

many_calls_at_once(Config) ->
    Node = node_of(Config),
    Text = fun(N) -> integer_to_binary(N rem 50) end,
    Expected = maps:from_list(
        [{Text(N), rpc:call(Node, ml_worker, predict, [Text(N), default])} || N <- lists:seq(0, 49)]
    ),
    Requests = [
        {Text(N), erpc:send_request(Node, ml_worker, predict, [Text(N), default])}
     || N <- lists:seq(1, 5000)
    ],
    [?assertEqual(maps:get(T, Expected), erpc:receive_response(Id, 60000)) || {T, Id} <- Requests].

%% ---- What it answers -----------------------------------------------------------------------------

vectors_are_sentence_transformers(Config) ->
    Texts = [
        <<"hello world">>, <<>>, <<"   ">>, <<"Zwei Knaben rannten über die Brücke."/utf8>>,
        <<"日本語のテキスト"/utf8>>, <<"👩‍👩‍👧‍👦 family"/utf8>>, <<"[CLS] [MASK] ##ing"/utf8>>,
        binary:copy(<<"far over the limit ">>, 500), <<"e\x{301}cole"/utf8>>
    ],
    #{embeddings := Ours} = encode(Config, Texts),
    ?assert(e2e:largest_difference(Ours, e2e:reference(Texts)) =< 1.0e-5),
    [?assertEqual(384, length(V)) || V <- Ours].

cached_is_counted(Config) ->
    Text = <<"cached is counted">>,
    ?assertMatch(#{cached := 0}, encode(Config, [Text, Text])),
    ?assertMatch(#{cached := 2}, encode(Config, [Text, Text])),
    ?assertMatch(#{cached := 1}, encode(Config, [Text, <<"never seen before">>])).

order_is_kept(Config) ->
    Texts = [integer_to_binary(N * 7919 rem 300) || N <- lists:seq(1, 300)],
    #{embeddings := Together} = encode(Config, Texts),
    Alone = [V || T <- Texts, #{embeddings := [V]} <- [encode(Config, [T])]],
    ?assertEqual(Alone, Together).

formats_agree(Config) ->
    Texts = [<<"formats agree">>, <<"and this too">>],
    #{embeddings := Lists} = encode(Config, Texts),
    #{embeddings := Binaries} = encode(Config, Texts, #{format => binary}),
    #{embeddings := Base64} = encode(Config, Texts, #{<<"format">> => <<"base64">>}),
    #{embeddings := Json} = encode(Config, Texts, [{format, json}]),
    [?assertEqual(4 * 384, byte_size(B)) || B <- Binaries],
    ?assertEqual(Binaries, [base64:decode(B) || B <- Base64]),
    ?assertEqual(Lists, [jiffy:decode(J) || J <- Json]),
    ?assertEqual(Binaries, [<<<<F:32/float-little>> || F <- L>> || L <- Lists]).

floats_are_the_shortest_decimals(Config) ->
    #{embeddings := [Vector]} = encode(Config, [<<"short decimals">>]),
    Digits = [length([D || D <- mantissa(F), D >= $0, D =< $9]) || F <- Vector],
    ?assert(lists:max(Digits) =< 10),
    ?assert(lists:sum(Digits) / length(Digits) =< 9.0).

mantissa(Float) -> hd(string:split(string:trim(io_lib_format:fwrite_g(Float), leading, "-0."), "e")).

normalize(Config) ->
    Norm = fun(V) -> math:sqrt(lists:sum([F * F || F <- V])) end,
    #{embeddings := [Own]} = encode(Config, [<<"a norm">>]),
    #{embeddings := [Raw]} = encode(Config, [<<"a norm">>], #{normalize => false}),
    ?assert(abs(Norm(Own) - 1.0) < 1.0e-5),
    ?assert(abs(Norm(Raw) - 1.0) > 0.01),
    ?assert(e2e:largest_difference([Own], [[F / Norm(Raw) || F <- Raw]]) < 1.0e-6).

truncation_is_said(Config) ->
    Long = binary:copy(<<"word ">>, 1000),
    #{embeddings := [_]} = encode(Config, [Long]),
    Reason = reason(Config, encode, [[<<"short">>, Long], default, #{truncate => false}]),
    ?assertMatch({too_long, 2, _, 256}, Reason),
    ?assert(at_least(element(3, Reason)) > 256),
    ?assertMatch(#{embeddings := [_]}, encode(Config, [<<"short">>], #{truncate => false})).

at_least({at_least, Number}) -> Number;
at_least(Number) when is_integer(Number) -> Number.

dimensions(Config) ->
    #{embeddings := [Whole]} = encode(Config, [<<"cut">>]),
    #{embeddings := [Cut]} = encode(Config, [<<"cut">>], #{dimensions => 64}),
    First = lists:sublist(Whole, 64),
    Norm = math:sqrt(lists:sum([F * F || F <- First])),
    ?assertEqual(64, length(Cut)),
    ?assert(e2e:largest_difference([Cut], [[F / Norm || F <- First]]) < 1.0e-6),
    ?assertMatch({bad_argument, dimensions, _},
                 reason(Config, encode, [[<<"cut">>], default, #{dimensions => 385}])).

usage(Config) ->
    Long = binary:copy(<<"word ">>, 1000),
    #{tokens := [Short, Cut]} = encode(Config, [<<"hello world">>, Long], #{usage => true}),
    ?assertEqual(#{used => 4, given => 4}, Short),
    ?assertMatch(#{used := 256}, Cut),
    ?assert(at_least(maps:get(given, Cut)) > 256),
    #{tokens := Again} = encode(Config, [<<"hello world">>, Long], #{usage => true}),
    ?assertEqual([Short, Cut], Again),
    ?assertNot(maps:is_key(tokens, encode(Config, [<<"hello world">>]))).

predict(Config) ->
    #{embeddings := [A, B]} = encode(Config, [<<"a">>, <<"b">>]),
    ?assertEqual(A, call(Config, predict, [<<"a">>, default])),
    ?assertEqual(A, call(Config, predict, ["a", default])),
    ?assertEqual([A, B], call(Config, predict, [[<<"a">>, <<"b">>], default])),
    ?assertEqual([], call(Config, predict, [[], default])),
    ?assertEqual(1536, byte_size(call(Config, predict, [<<"a">>, default, #{format => binary}]))).

names_of_the_model(Config) ->
    #{embeddings := Vectors} = encode(Config, [<<"names">>]),
    [
        ?assertMatch(#{embeddings := Vectors}, call(Config, encode, [[<<"names">>], Name]))
     || Name <- [default, <<"default">>, "default", none, nil, undefined, ?MODEL,
                 binary_to_list(?MODEL), binary_to_atom(?MODEL),
                 <<"sentence-transformers/all-MiniLM-L6-v2">>]
    ].

no_texts(Config) -> ?assertEqual(#{embeddings => [], cached => 0}, encode(Config, [])).

charlists(Config) ->
    #{embeddings := [A, B, Empty]} = encode(Config, [<<"abc">>, <<"grüße 日本"/utf8>>, <<>>]),
    ?assertMatch(#{embeddings := [A, B, Empty]}, encode(Config, ["abc", "grüße 日本", []])).

info(Config) ->
    Info = call(Config, info, []),
    #{model := #{loaded_models := [?MODEL], default_dimensions := 384, aliases := Aliases},
      memory := #{}, cache := Cache, version := Version, api := 1, functions := Functions,
      opts := Opts} = Info,
    ?assert(is_map(Aliases)),
    ?assert(is_binary(Version)),
    #{hits := Hits, misses := Misses, hit_rate := Rate, entries := _, bytes := _} = Cache,
    ?assert(is_integer(Hits) andalso is_integer(Misses) andalso Rate >= 0.0 andalso Rate =< 1.0),
    Names = [list_to_atom(lists:flatten(io_lib:format("~s", [F]))) || F <- Functions],
    [?assert(lists:member(F, Names)) || F <- [encode, predict, info, get_load, health]],
    ?assert(length(Opts) >= 4).

get_load(Config) ->
    Load = call(Config, get_load, []),
    ?assert(is_float(Load) andalso Load >= 0.0).

health(Config) -> ?assertEqual(ok, call(Config, health, [])).

%% ---- What it refuses -----------------------------------------------------------------------------

undef(Config) ->
    Node = node_of(Config),
    {badrpc, {'EXIT', {undef, [{ml_worker, no_such, [1, 2], []}]}}} =
        rpc:call(Node, ml_worker, no_such, [1, 2]),
    {badrpc, {'EXIT', {undef, [{ml_worker, encode, 1, []} | _]}}} =
        rpc:call(Node, ml_worker, encode, [[binary:copy(<<"x">>, 5000)]]),
    ?assertError({exception, undef, _}, erpc:call(Node, ml_worker, info, [1])).

bad_arguments(Config) ->
    Bad = fun(Name, Args) ->
        ?assertMatch({Args, {bad_argument, Name, What}} when is_binary(What),
                     {Args, reason(Config, encode, Args)})
    end,
    [Bad(texts, [Texts, default]) ||
        Texts <- [<<"bare">>, "bare", 5, atom, #{}, {<<"a">>}, 1.5, [5 | <<"improper">>],
                  [<<"a">> | <<"b">>], [<<255, 254>>], [1.5], [atom], [[<<"iolist">>]],
                  [[16#D800]], [[16#110000]], [[-1]], [<<1:3>>], self(), make_ref(),
                  [<<"a">>, 17]]],
    [Bad(model, [[<<"a">>], Model]) || Model <- [5, 1.5, {a}, #{}, [a], self()]],
    [?assertMatch({unknown_model, _}, reason(Config, encode, [[<<"a">>], Model])) ||
        Model <- [<<"no-such-model">>, <<"../../etc/passwd">>, <<"/etc/passwd">>, 'large', <<"a/b/c">>,
                  binary:copy(<<"x">>, 5000), <<".">>, <<"..">>, <<"a\0b">>, <<255>>]],
    ?assertMatch({unknown_model, _}, reason(Config, encode, [[], <<"no-such-model">>])),
    [Bad(Key, [[<<"a">>], default, Opts]) ||
        {Key, Opts} <- [{format, #{format => xml}}, {truncate, #{truncate => 1}},
                        {normalize, [{normalize, maybe}]}, {usage, #{usage => <<"yes">>}},
                        {dimensions, #{dimensions => 0}}]],
    {bad_argument, Named, What} = reason(Config, encode, [[<<"a">>], default, #{frobnicate => 1}]),
    ?assert(nomatch =/= string:find(io_lib:format("~p ~ts", [Named, What]), "frobnicate")),
    [?assertMatch({bad_argument, _, _}, reason(Config, encode, [[<<"a">>], default, Opts])) ||
        Opts <- [5, <<"opts">>, [5], [{format, list} | x], #{1 => 2}]],
    ?assertMatch({bad_argument, _, _}, reason(Config, predict, [5, default])),
    ?assertMatch({bad_argument, _, _}, reason(Config, predict, [<<255>>, default])).

limits(Config) ->
    Node = node_of(Config),
    Worker = e2e:start_worker(worker, ["--max-text-bytes", "100", "--max-texts", "5",
                                       "--max-call-bytes", "300"]),
    Limited = [{node, e2e:node_of(Worker)}],
    Hundred = binary:copy(<<"x">>, 100),
    ?assertMatch(#{}, encode(Limited, [Hundred, Hundred, Hundred])),
    ?assertMatch({too_large, _, 101, 100},
                 reason(Limited, encode, [[<<"ok">>, <<Hundred/binary, "x">>], default])),
    ?assertMatch({too_large, _, 6, 5}, reason(Limited, encode, [lists:duplicate(6, <<>>), default])),
    ?assertMatch({too_large, _, Got, 300} when Got > 300,
                 reason(Limited, encode, [lists:duplicate(4, Hundred), default])),
    ?assertMatch(#{}, encode(Limited, [Hundred])),
    ok = e2e:stop(Worker),
    ?assertEqual(pong, net_adm:ping(Node)).

a_text_of_10_mb(Config) ->
    Text = binary:copy(<<"x">>, 10000000),
    ?assertMatch({too_large, _, 10000000, 1048576}, reason(Config, encode, [[Text], default])),
    ?assertMatch({too_large, _, 10000000, 1048576}, reason(Config, predict, [Text, default])),
    ?assertMatch({too_large, _, Got, 67108864} when Got > 67108864,
                 reason(Config, encode, [lists:duplicate(70, binary:part(Text, 0, 1000000)), default])),
    ?assertMatch({too_large, _, _, 100000},
                 reason(Config, encode, [lists:duplicate(100001, <<>>), default])).

the_connection_survives_all_that(Config) ->
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    bad_arguments(Config),
    a_text_of_10_mb(Config),
    #{embeddings := [_]} = encode(Config, [<<"still here">>]),
    receive
        {nodedown, Node, _} -> error({lost, Node})
    after 0 -> ok
    end,
    net_kernel:monitor_nodes(false, [{node_type, all}]).

%% ---- While it works ------------------------------------------------------------------------------

a_long_computation_delays_no_ping(Config) ->
    Node = node_of(Config),
    Id = erpc:send_request(Node, ml_worker, encode, [some_texts(3000), default, #{format => binary}]),
    Pings = ping_until(Node, Id, []),
    ?assert(length(Pings) >= 5),
    ?assert(lists:max(Pings) < 1000),
    #{embeddings := Vectors} = erpc:receive_response(Id, 120000),
    ?assertEqual(3000, length(Vectors)).

%% Connects again each time: the handshake, the ping and a call, while the device is busy.
ping_until(Node, Id, Times) ->
    Started = erlang:monotonic_time(millisecond),
    pong = net_adm:ping(Node),
    Load = rpc:call(Node, ml_worker, get_load, []),
    Took = erlang:monotonic_time(millisecond) - Started,
    case length(Times) < 200 andalso is_float(Load) andalso Load > 0.5 orelse length(Times) < 5 of
        true -> timer:sleep(20), ping_until(Node, Id, [Took | Times]);
        false -> [Took | Times]
    end.

%% An idle peer hears of a worker that ticks every second, while the device is busy for longer.
a_long_computation_delays_no_tick(_) ->
    Worker = e2e:start_worker(worker, ["--tick-interval", "1"]),
    Node = e2e:node_of(Worker),
    Socket = dist_wire:connect(Node),
    ok = dist_wire:handshake(Socket, e2e:unique(idle) ++ "@127.0.0.1", atom_to_list(erlang:get_cookie())),
    Busy = erpc:send_request(Node, ml_worker, encode, [some_texts(10000), default, #{format => binary}]),
    await_full_queue([{node, Node}]),
    [?assertEqual({ok, <<0:32>>}, gen_tcp:recv(Socket, 4, 2000)) || _ <- lists:seq(1, 3)],
    #{queue := #{running_tokens := Running}} = call([{node, Node}], info, []),
    ?assert(Running > 0),
    gen_tcp:close(Socket),
    #{embeddings := _} = erpc:receive_response(Busy, 120000),
    ok = e2e:stop(Worker).

%% Its work is dropped wherever it is by then, announced or queued: none of it is computed.
a_caller_that_gives_up_cancels(Config) ->
    Node = node_of(Config),
    #{queue := #{texts := Computed}, calls := #{cancelled := Before}} = call(Config, info, []),
    Busy = erpc:send_request(Node, ml_worker, encode, [some_texts(5000), default, #{format => binary}]),
    await_full_queue(Config),
    ?assertError({erpc, timeout}, erpc:call(Node, ml_worker, encode, [some_texts(500), default], 100)),
    #{embeddings := _} = erpc:receive_response(Busy, 120000),
    e2e:eventually(fun() ->
        #{calls := #{cancelled := Now}} = call(Config, info, []),
        Now =:= Before + 1
    end),
    #{embeddings := _} = encode(Config, some_texts(1)),
    #{queue := #{texts := After}} = call(Config, info, []),
    ?assertEqual(5001, After - Computed).

timeout_ms(Config) ->
    Node = node_of(Config),
    Busy = erpc:send_request(Node, ml_worker, encode, [some_texts(5000), default, #{format => binary}]),
    await_full_queue(Config),
    ?assertEqual(deadline_exceeded,
                 reason(Config, encode, [some_texts(3), default, #{timeout_ms => 1}])),
    #{embeddings := _} = erpc:receive_response(Busy, 120000).

%% A call's pid is a process of the cluster: another node than the caller's monitors it, links to it
%% and ends it, and it dies with what it is linked to.
calls_of_another_node(Config) ->
    Node = node_of(Config),
    {_, OtherNode} = Other = e2e:start_peer(other),
    true = erpc:call(OtherNode, code, add_patha, [filename:dirname(code:which(?MODULE))]),

    {Killed, _} = watched_call(Node, OtherNode),
    true = erpc:call(OtherNode, erlang, exit, [Killed, kill]),
    [receive {Heard, Killed, Reason} -> ?assertEqual(killed, Reason) after 20000 -> error(Heard) end
     || Heard <- [down, exited]],
    ?assertEqual(killed, end_of(Killed)),

    {Linked, Watcher} = watched_call(Node, OtherNode),
    exit(Watcher, boom),
    ?assertEqual(boom, end_of(Linked)),

    {Left, _} = watched_call(Node, OtherNode),
    e2e:stop_peer(Other),
    ?assertEqual(noconnection, end_of(Left)).

%% A process at the worker that this node has started, and who watches it from the other node. That
%% hears nothing of it so far.
watched_call(Node, OtherNode) ->
    {Pid, _} = spawn_monitor(Node, ml_worker, encode, dist_core:long_work()),
    Self = self(),
    Watcher = spawn(OtherNode, ?MODULE, watch, [Pid, Self]),
    receive {watching, Watcher} -> ok end,
    pong = erpc:call(OtherNode, net_adm, ping, [Node]),
    receive {_, Pid, _} = Early -> error(Early) after 200 -> {Pid, Watcher} end.

watch(Pid, Reporter) ->
    _ = spawn_link(?MODULE, report, [Pid, Reporter, self()]),
    receive stop -> ok end.

report(Pid, Reporter, Watcher) ->
    process_flag(trap_exit, true),
    _ = monitor(process, Pid),
    true = link(Pid),
    Reporter ! {watching, Watcher},
    report_loop(Pid, Reporter, Watcher).

report_loop(Pid, Reporter, Watcher) ->
    receive
        {'DOWN', _, process, Pid, Reason} -> Reporter ! {down, Pid, Reason};
        {'EXIT', Pid, Reason} -> Reporter ! {exited, Pid, Reason};
        {'EXIT', Watcher, Reason} -> exit(Reason)
    end,
    report_loop(Pid, Reporter, Watcher).

end_of(Pid) ->
    receive {'DOWN', _, process, Pid, Reason} -> Reason after 20000 -> alive end.

other_modules_are_not_there(Config) ->
    Node = node_of(Config),
    {badrpc, {'EXIT', {undef, _}}} = rpc:call(Node, os, cmd, ["id"]),
    {badrpc, {'EXIT', {undef, _}}} = rpc:call(Node, erlang, node, []),
    ?assertError({exception, undef, [{os, cmd, ["id"], []}]}, erpc:call(Node, os, cmd, ["id"])).

epmd_comes_back(Config) ->
    Node = node_of(Config),
    [Name, _] = string:split(atom_to_list(Node), "@"),
    ok = e2e:kill_epmd(),
    #{embeddings := [_]} = encode(Config, [<<"without epmd">>]),
    _ = os:cmd("epmd -daemon"),
    e2e:eventually(fun() ->
        case erl_epmd:names({127, 0, 0, 1}) of
            {ok, Names} -> lists:keymember(Name, 1, Names);
            _ -> false
        end
    end, 30000).

%% ---- Help ----------------------------------------------------------------------------------------

%% Queued, not merely announced: while a large call is tokenized a small one goes first.
await_full_queue(Config) ->
    e2e:eventually(fun() ->
        #{queue := #{queued_tokens := Queued}} = call(Config, info, []),
        Queued > 20000
    end).

%% Texts that no cache knows.
some_texts(Count) ->
    Salt = integer_to_binary(erlang:unique_integer([positive])),
    [<<Salt/binary, " a text of some words, number ", (integer_to_binary(N))/binary>>
     || N <- lists:seq(1, Count)].

node_of(Config) -> proplists:get_value(node, Config).

call(Config, Function, Args) ->
    case rpc:call(node_of(Config), ml_worker, Function, Args) of
        {badrpc, Reason} -> error(Reason);
        Answer -> Answer
    end.

encode(Config, Texts) -> call(Config, encode, [Texts, default]).
encode(Config, Texts, Opts) -> call(Config, encode, [Texts, default, Opts]).

%% The reason of a refusal, the same through rpc and erpc.
reason(Config, Function, Args) ->
    {badrpc, {'EXIT', {Reason, Stack}}} = rpc:call(node_of(Config), ml_worker, Function, Args),
    ?assertEqual([{ml_worker, Function, length(Args), []}], Stack),
    Reason.
