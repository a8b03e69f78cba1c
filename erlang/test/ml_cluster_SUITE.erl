%% The front against real Erlang nodes that play the worker.
-module(ml_cluster_SUITE).
-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

-import(ml_cluster_test_nodes, [until/1, until/2, behave/2]).

all() ->
    [
        a_configured_hidden_worker_answers,
        a_worker_that_connects_is_found_by_its_prefix,
        a_host_is_searched_by_epmd,
        a_node_that_is_no_worker_is_foreign,
        round_robin_takes_turns,
        the_faster_worker_gets_more,
        parallel_keeps_the_order,
        no_worker_is_an_error,
        a_killed_worker_fails_no_call,
        a_hung_worker_fails_no_call,
        a_stopped_process_is_cut_off,
        a_draining_worker_gets_no_calls,
        overload_of_one_moves_of_all_is_told,
        a_failing_worker_rests,
        an_ill_worker_rests,
        a_text_that_all_fail_on_rests_nobody,
        the_callers_mistake_is_not_retried,
        a_mistake_is_where_the_caller_sees_it,
        what_is_no_answer_is_a_failure,
        options_are_read_as_a_worker_reads_them,
        the_deadline_holds,
        a_caller_that_goes_cancels,
        a_worker_comes_back,
        workers_are_added_and_removed,
        drained_by_the_operator,
        a_crash_of_any_process_loses_nothing,
        an_unreachable_worker_holds_up_nobody,
        a_mute_worker_blocks_no_process,
        a_dead_host_holds_up_no_search,
        many_workers_at_once,
        one_answer_has_one_model,
        numerics_do_not_mix,
        numerics_mix_when_configured,
        a_kind_that_is_lost_is_given_up,
        options_that_a_worker_does_not_name,
        workers_of_different_versions_work_together,
        a_call_is_one_round_trip,
        a_call_asks_no_process_of_the_front,
        calls_go_on_while_the_front_stands_still,
        large_calls_go_in_pieces,
        a_slow_worker_holds_no_more_than_its_budget,
        events_tell_of_calls_attempts_and_workers,
        a_handler_that_fails_harms_no_call,
        attempts_are_counted_by_worker_and_outcome,
        the_consistent_strategy_keeps_a_texts_worker,
        the_application_stops_and_starts,
        wrong_configuration_stops_the_start,
        an_adapter_is_a_module_that_listens,
        origins_are_allowed_under_another_servers_listener,
        numbers_are_told_under_another_servers_listener
    ].

suite() -> [{timetrap, {seconds, 60}}].

init_per_suite(Config) ->
    ok = ml_cluster_test_nodes:distribute(),
    [{double, ml_cluster_test_nodes:compile_double(Config)} | Config].

end_per_suite(_) -> application:stop(ml_cluster).

init_per_testcase(_, Config) -> Config.

end_per_testcase(_, Config) ->
    _ = application:stop(ml_cluster),
    Config.

%% ---- Helpers ----

%% Peers are linked to the test case and go with it.
worker(Base, Config) -> ml_cluster_test_nodes:start(Base, ?config(double, Config)).

start(Env) -> {ok, _} = ml_cluster_test_nodes:configure([{http, false} | Env]), ok.

cluster(Bases, Env, Config) ->
    Peers = [worker(Base, Config) || Base <- Bases],
    Nodes = [Node || {_, Node} <- Peers],
    start([{workers, Nodes} | Env]),
    until(fun() -> up() =:= lists:sort(Nodes) end),
    Peers.

up() -> [Node || #{node := Node, state := up} <- ml_cluster:workers()].

state(Node) ->
    case [State || #{node := N, state := State} <- ml_cluster:workers(), N =:= Node] of
        [State] -> State;
        [] -> unknown
    end.

calls({Peer, _}) -> peer:call(Peer, ml_worker, calls, []).

vector(Text) -> [erlang:crc32(Text) / 1.0, byte_size(Text) / 1.0].

%% Calls from many processes while Fun runs; all answers.
under_load(Count, Fun) ->
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Text = integer_to_binary(I),
            Self ! {self(), Text, ml_cluster:encode([Text], default)}
        end)
     || I <- lists:seq(1, Count)
    ],
    Fun(),
    [receive {Pid, Text, Result} -> {Text, Result} end || Pid <- Pids].

all_right(Answers) ->
    Wrong = [Answer || {Text, Result} = Answer <- Answers, not is_right(Text, Result)],
    ?assertEqual([], Wrong).

is_right(Text, {ok, #{embeddings := [Vector]}}) -> Vector =:= vector(Text);
is_right(_, _) -> false.

%% ---- Discovery ----

a_configured_hidden_worker_answers(Config) ->
    [{_, Node}] = cluster(["w"], [], Config),
    ?assertNot(lists:member(Node, nodes())),
    ?assertEqual(
        {ok, #{embeddings => [vector(<<"a">>), vector(<<"b">>)], cached => 0, nodes => [Node]}},
        ml_cluster:encode([<<"a">>, <<"b">>], default)
    ),
    ?assertEqual({ok, vector(<<"a">>)}, ml_cluster:predict(<<"a">>, default)),
    #{requests := #{total := Total, distributed := Distributed}} = ml_cluster:metrics(),
    ?assert(Total > 0 andalso Distributed > 0).

a_worker_that_connects_is_found_by_its_prefix(Config) ->
    start([{prefixes, ["gpu"]}]),
    {Peer, Node} = worker("gpu1", Config),
    {_, Other} = worker("other1", Config),
    true = peer:call(Peer, net_kernel, connect_node, [node()]),
    true = net_kernel:connect_node(Other),
    until(fun() -> state(Node) =:= up end),
    ?assertEqual(unknown, state(Other)).

a_host_is_searched_by_epmd(Config) ->
    {_, Node} = worker("gpu7", Config),
    start([{hosts, ["127.0.0.1"]}, {prefixes, ["gpu7_" ++ os:getpid()]}]),
    until(fun() -> up() =:= [Node] end).

a_node_that_is_no_worker_is_foreign(Config) ->
    {Peer, Old} = worker("worker_old", Config),
    ok = peer:call(Peer, persistent_term, put, [{ml_worker, api}, 99]),
    {ok, Bare, Foreign} = peer:start_link(#{
        name => list_to_atom("worker_bare_" ++ os:getpid()), host => "127.0.0.1", longnames => true,
        connection => standard_io, args => ["-setcookie", "ml_cluster_ct"]
    }),
    start([{workers, [Old, Foreign]}]),
    until(fun() -> state(Old) =:= resting andalso state(Foreign) =:= resting end),
    ?assertEqual(
        [{foreign, undef}, {foreign, {api, 1, 99}}],
        [R || #{node := N, reason := R} <- ml_cluster:workers(), lists:member(N, [Old, Foreign])]
    ),
    ?assertEqual({error, no_workers}, ml_cluster:encode([<<"a">>], default)),
    peer:stop(Bare).

%% ---- Balancing ----

round_robin_takes_turns(Config) ->
    Peers = cluster(["w1", "w2", "w3"], [], Config),
    [{ok, _} = ml_cluster:encode([<<"a">>], default) || _ <- lists:seq(1, 12)],
    ?assertEqual([4, 4, 4], [calls(Peer) || Peer <- Peers]).

the_faster_worker_gets_more(Config) ->
    [Slow, Fast] = cluster(["w1", "w2"], [{strategy, least_loaded}], Config),
    behave(Slow, {slow, 200}),
    behave(Fast, {slow, 10}),
    all_right(lists:append([under_load(8, fun() -> ok end) || _ <- lists:seq(1, 10)])),
    ?assert(calls(Slow) > 0),
    ?assert(calls(Fast) > 2 * calls(Slow)).

parallel_keeps_the_order(Config) ->
    [Slow | _] = Peers = cluster(["w1", "w2", "w3"], [], Config),
    behave(Slow, {slow, 300}),
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 100)],
    {ok, #{embeddings := Vectors, nodes := Nodes}} =
        ml_cluster:encode_parallel(Texts, default, #{}),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors),
    ?assertEqual(lists:sort([Node || {_, Node} <- Peers]), lists:sort(Nodes)).

no_worker_is_an_error(_) ->
    start([]),
    ?assertEqual({error, no_workers}, ml_cluster:encode([<<"a">>], default)),
    ?assertEqual({error, no_workers}, ml_cluster:encode_parallel([<<"a">>], default, #{})).

%% ---- Failover ----

a_killed_worker_fails_no_call(Config) ->
    [Victim | _] = Peers = cluster(["w1", "w2", "w3"], [], Config),
    [behave(Peer, {slow, 300}) || Peer <- Peers],
    Pid = ml_cluster_test_nodes:os_pid(Victim),
    Answers = under_load(64, fun() ->
        until(fun() -> calls(Victim) > 5 end),
        os:cmd("kill -KILL " ++ Pid)
    end),
    all_right(Answers).

a_hung_worker_fails_no_call(Config) ->
    [Victim | _] = cluster(["w1", "w2", "w3"], [{suspect_after_ms, 500}], Config),
    behave(Victim, hang),
    {Micros, Answers} = timer:tc(fun() -> under_load(30, fun() -> ok end) end),
    all_right(Answers),
    ?assert(Micros < 5000000).

a_stopped_process_is_cut_off(Config) ->
    [{_, Node} = Victim | _] = cluster(["w1", "w2"], [{suspect_after_ms, 500}], Config),
    Pid = ml_cluster_test_nodes:os_pid(Victim),
    os:cmd("kill -STOP " ++ Pid),
    all_right(under_load(30, fun() -> ok end)),
    until(fun() -> lists:member(state(Node), [resting, connecting]) end),
    os:cmd("kill -CONT " ++ Pid),
    ml_cluster_test_nodes:until(fun() -> state(Node) =:= up end, 30000).

a_draining_worker_gets_no_calls(Config) ->
    [{_, Node} = Victim | _] = cluster(["w1", "w2"], [], Config),
    behave(Victim, {raise, draining}),
    all_right(under_load(10, fun() -> ok end)),
    until(fun() -> state(Node) =:= draining end),
    Before = calls(Victim),
    all_right(under_load(10, fun() -> ok end)),
    ?assertEqual(Before, calls(Victim)),
    behave(Victim, normal),
    until(fun() -> state(Node) =:= up end).

overload_of_one_moves_of_all_is_told(Config) ->
    [First, Second] = cluster(["w1", "w2"], [], Config),
    behave(First, {raise_in, encode, {overloaded, 700}}),
    all_right(under_load(10, fun() -> ok end)),
    behave(Second, {raise_in, encode, {overloaded, 300}}),
    ?assertEqual({error, {overloaded, 300}}, ml_cluster:encode([<<"a">>], default)).

a_failing_worker_rests(Config) ->
    [{_, Node} = Victim | _] = cluster(["w1", "w2"], [], Config),
    behave(Victim, {raise, {model_failed, <<"m">>, <<"broken">>}}),
    all_right(under_load(20, fun() -> ok end)),
    until(fun() -> state(Node) =:= resting end),
    behave(Victim, normal),
    until(fun() -> state(Node) =:= up end, 30000).

%% It answers calls and probes; only health/0 tells.
an_ill_worker_rests(Config) ->
    [{_, Node} = Ill | _] = cluster(["w1", "w2"], [], Config),
    behave(Ill, {raise_in, health, {unhealthy, <<"NaN">>}}),
    until(fun() -> state(Node) =:= resting end, 20000),
    ?assertMatch([_], [W || #{node := N, reason := {unhealthy, _}} = W <- ml_cluster:workers(), N =:= Node]),
    all_right(under_load(6, fun() -> ok end)),
    behave(Ill, normal),
    until(fun() -> state(Node) =:= up end, 20000).

a_text_that_all_fail_on_rests_nobody(Config) ->
    Peers = cluster(["w1", "w2"], [], Config),
    Reason = {model_failed, <<"m">>, <<"not finite">>},
    [behave(Peer, {raise_in, encode, Reason}) || Peer <- Peers],
    [?assertEqual({error, Reason}, ml_cluster:encode([<<"a">>], default)) || _ <- lists:seq(1, 20)],
    ?assertEqual(2, length(up())).

the_callers_mistake_is_not_retried(Config) ->
    Peers = cluster(["w1", "w2"], [], Config),
    Reason = {bad_argument, <<"texts">>, <<"expected …"/utf8>>},
    [behave(Peer, {raise_in, encode, Reason}) || Peer <- Peers],
    ?assertEqual({error, Reason}, ml_cluster:encode([1], default)),
    ?assertEqual(1, lists:sum([calls(Peer) || Peer <- Peers])),
    [behave(Peer, normal) || Peer <- Peers],
    ?assertEqual(
        {error, {unknown_model, <<"nowhere">>}}, ml_cluster:encode([<<"a">>], <<"nowhere">>)
    ),
    ?assertMatch({error, {bad_argument, texts, _}}, ml_cluster:encode([<<"a">> | <<"b">>], default)),
    ?assertMatch({error, {bad_argument, texts, _}}, ml_cluster:encode(<<"a">>, default)).

a_mistake_is_where_the_caller_sees_it(Config) ->
    [Peer] = cluster(["w1"], [{limits, #{piece_texts => 2, texts => 5}}], Config),
    behave(Peer, {raise_in, encode, {bad_argument, texts, <<"expected a text, got an atom at position 2">>}}),
    ?assertMatch(
        {error, {bad_argument, texts, <<"expected a text, got an atom at position ", Place/binary>>}} when
            Place =:= <<"2">>; Place =:= <<"4">>,
        ml_cluster:encode([<<"a">>, <<"b">>, <<"c">>, <<"d">>], default)
    ),
    %% Of something else, or of nothing that there is.
    [
        begin
            behave(Peer, {raise_in, encode, Reason}),
            ?assertEqual({error, Reason}, ml_cluster:encode([<<"a">>, <<"b">>, <<"c">>, <<"d">>], default))
        end
     || Reason <- [
            {bad_argument, opts, <<"expected {Name, Value}, got a tuple at position 2">>},
            {bad_argument, texts, <<"expected a text, got an atom at position 77">>},
            {too_long, 77, 600, 512}
        ]
    ],
    ?assertEqual(
        {error, {too_large, texts, 6, 5}}, ml_cluster:encode(lists:duplicate(6, <<"a">>), default)
    ).

what_is_no_answer_is_a_failure(Config) ->
    [{_, Node} = Peer] = cluster(["w1"], [{limits, #{piece_texts => 2}}], Config),
    [
        begin
            behave(Peer, {answer, Answer}),
            ?assertMatch({error, {worker_failed, Node, {bad_reply, _}}}, ml_cluster:encode(Texts, default))
        end
     || Texts <- [[<<"a">>, <<"b">>], [<<"a">>, <<"b">>, <<"c">>, <<"d">>]],
        Answer <- [
            none,
            #{cached => 0},
            #{embeddings => none, cached => 0},
            #{embeddings => [[0.1], [0.2] | improper], cached => 0},
            #{embeddings => [<<"a">>, <<"b">> | improper], cached => 0},
            #{embeddings => [[0.1]], cached => 0},
            #{embeddings => [[0.1], vector], cached => 0},
            #{embeddings => [[0.1], [0.2 | 0.3]], cached => 0},
            #{embeddings => [[0.1], [0.2]], cached => many}
        ]
    ].

options_are_read_as_a_worker_reads_them(Config) ->
    [{Peer, _}] = cluster(["w1"], [], Config),
    Asked = fun(Opts) ->
        {ok, _} = ml_cluster:call(tokenize, [[<<"a">>], default], Opts),
        peer:call(Peer, ml_worker, asked, [])
    end,
    [
        ?assertMatch(#{usage := first}, Asked(Opts))
     || Opts <- [
            [{usage, first}, {usage, second}],
            [{<<"usage">>, first}, {usage, second}],
            #{usage => first, <<"usage">> => second}
        ]
    ],
    [
        ?assertMatch(#{timeout_ms := Ms} when Ms > 20000, Asked(#{timeout_ms => Value}))
     || Value <- [none, nil, undefined, infinity]
    ],
    [
        ?assertMatch({error, {bad_argument, opts, _}}, ml_cluster:encode([<<"a">>], default, Wrong))
     || Wrong <- [foo, [{usage, true} | x], [7]]
    ].

the_deadline_holds(Config) ->
    [Peer] = cluster(["w1"], [], Config),
    behave(Peer, {slow, 5000}),
    {Micros, Result} = timer:tc(fun() ->
        ml_cluster:encode([<<"a">>], default, #{timeout_ms => 200})
    end),
    ?assertEqual({error, deadline_exceeded}, Result),
    ?assert(Micros < 1000000).

a_caller_that_goes_cancels(Config) ->
    [{_, Node} = Peer] = cluster(["w1"], [], Config),
    behave(Peer, {slow, 60000}),
    Caller = spawn(fun() -> ml_cluster:encode([<<"a">>], default) end),
    until(fun() -> in_flight(Node) =:= 1 end),
    exit(Caller, kill),
    until(fun() -> in_flight(Node) =:= 0 end).

in_flight(Node) ->
    [N] = [N || #{node := M, in_flight := N} <- ml_cluster:workers(), M =:= Node],
    N.

a_worker_comes_back(Config) ->
    [{First, Node} = Peer] = cluster(["w1"], [], Config),
    Creation = peer:call(First, erlang, system_info, [creation]),
    os:cmd("kill -KILL " ++ ml_cluster_test_nodes:os_pid(Peer)),
    until(fun() -> state(Node) =/= up end),
    ?assertMatch({error, _}, ml_cluster:encode([<<"a">>], default)),
    until(fun() -> not lists:member(Node, nodes(connected)) end),
    {Again, Node} = worker("w1", Config),
    %% The same name, another incarnation of the node.
    ?assertNotEqual(Creation, peer:call(Again, erlang, system_info, [creation])),
    until(fun() -> state(Node) =:= up end),
    ?assertMatch({ok, _}, ml_cluster:encode([<<"a">>], default)),
    ?assertEqual(1, calls({Again, Node})).

%% ---- At run time ----

workers_are_added_and_removed(Config) ->
    [{_, First}] = cluster(["worker1"], [], Config),
    {_, Second} = worker("worker2", Config),
    ok = ml_cluster:add_worker(Second),
    until(fun() -> up() =:= lists:sort([First, Second]) end),
    ok = ml_cluster:remove_worker(First),
    ?assertEqual([Second], up()),
    ?assertEqual({error, not_found}, ml_cluster:remove_worker(First)),
    %% Its prefix does not bring it back.
    erlang:disconnect_node(First),
    true = net_kernel:connect_node(First),
    ?assertEqual(unknown, state(First)),
    ok = ml_cluster:add_worker(First),
    until(fun() -> state(First) =:= up end),
    ?assertMatch({error, {bad_argument, node, _}}, ml_cluster:add_worker('no host')),
    ?assertMatch({error, {bad_argument, node, _}}, ml_cluster:add_worker(7)).

drained_by_the_operator(Config) ->
    [{_, Node} | _] = cluster(["w1", "w2"], [], Config),
    ok = ml_cluster:drain_worker(Node),
    until(fun() -> state(Node) =:= draining end),
    ?assertEqual({error, not_found}, ml_cluster:drain_worker('worker9@nowhere.example')),
    %% Seeing it again is no reason to give it work.
    erlang:disconnect_node(Node),
    until(fun() -> state(Node) =/= draining end),
    until(fun() -> state(Node) =:= draining end),
    ok = ml_cluster:add_worker(Node),
    until(fun() -> state(Node) =:= up end).

a_crash_of_any_process_loses_nothing(Config) ->
    [{_, First}, {_, Second}] = cluster(["w1", "w2"], [], Config),
    {_, Added} = worker("w3", Config),
    ok = ml_cluster:add_worker(Added),
    Nodes = lists:sort([First, Second, Added]),
    until(fun() -> up() =:= Nodes end),
    {ok, WorkerPid} = ml_cluster_table:process(First),
    Victims = [WorkerPid | [
        whereis(Name)
     || Name <- [ml_cluster_table, ml_cluster_membership, ml_cluster_worker_sup]
    ]],
    [
        begin
            exit(Pid, kill),
            until(fun() -> not is_process_alive(Pid) end),
            until(fun() -> whereis(ml_cluster_membership) =/= undefined andalso up() =:= Nodes end),
            until(fun() -> lists:sort(ml_cluster_table:up(remote)) =:= Nodes end),
            all_right(under_load(6, fun() -> ok end))
        end
     || Pid <- Victims
    ].

%% 192.0.2.0/24 is for documentation: nobody answers there, connecting takes its seven seconds.
an_unreachable_worker_holds_up_nobody(Config) ->
    {_, Node} = worker("w1", Config),
    start([{workers, ['worker1@192.0.2.1', Node, 'worker2@192.0.2.2']}]),
    until(fun() -> up() =:= [Node] end),
    {Micros, Answers} = timer:tc(fun() -> under_load(50, fun() -> ok end) end),
    all_right(Answers),
    ?assert(Micros < 3000000),
    ok = ml_cluster:remove_worker('worker1@192.0.2.1').

%% Its port takes connections and answers nothing: connecting to it lasts seven seconds.
a_mute_worker_blocks_no_process(Config) ->
    {_, Node} = worker("w1", Config),
    Mute = ml_cluster_test_nodes:mute("worker_mute"),
    start([{workers, [Mute, Node]}]),
    until(fun() -> up() =:= [Node] end),
    until(fun() -> state(Mute) =:= connecting end),
    all_right(under_load(50, fun() -> ok end)),
    {_, Other} = worker("w2", Config),
    ok = ml_cluster:add_worker(Other),
    ok = ml_cluster:drain_worker(Mute),
    _ = ml_cluster:status(),
    [_ = sys:get_state(Process, 2000) || Process <- front_processes()],
    ?assertEqual(connecting, state(Mute)),
    ok = ml_cluster:remove_worker(Mute),
    ?assertEqual(unknown, state(Mute)),
    until(fun() -> up() =:= lists:sort([Node, Other]) end).

%% Every process of the front that anything could ask.
front_processes() ->
    [whereis(Name) || Name <- [ml_cluster_table, ml_cluster_membership, ml_cluster_worker_sup]] ++
        [Pid || {_, Pid, _, _} <- supervisor:which_children(ml_cluster_worker_sup)].

%% The first host takes a connection to its epmd and never answers.
a_dead_host_holds_up_no_search(Config) ->
    {_, Node} = worker("gpu8", Config),
    Mute = ml_cluster_test_nodes:mute_host(),
    start([{hosts, [Mute, "127.0.0.1"]}, {prefixes, ["gpu8_" ++ os:getpid()]}]),
    until(fun() -> up() =:= [Node] end).

many_workers_at_once(_) ->
    Nodes = [list_to_atom("worker" ++ integer_to_list(I) ++ "@127.0.0.1") || I <- lists:seq(1, 30)],
    start([{workers, Nodes}, {limits, #{workers => 31}}]),
    until(fun() -> length([N || N <- Nodes, state(N) =:= resting]) >= 25 end),
    ?assertEqual({error, no_workers}, ml_cluster:encode([<<"a">>], default)),
    ok = ml_cluster:add_worker('worker31@127.0.0.1'),
    ?assertEqual({error, too_many_workers}, ml_cluster:add_worker('worker32@127.0.0.1')).

%% ---- What is asked for, and of whom ----

one_answer_has_one_model(Config) ->
    [Odd | Others] = cluster(["w1", "w2", "w3"], [{mix_numerics, true}], Config),
    behave(Odd, {kind, <<"x">>, <<"f32">>}),
    [behave(Peer, {kind, <<"y">>, <<"f32">>}) || Peer <- Others],
    #{model_id := Id, nodes := Nodes} = thirty_in_parallel(),
    ?assertEqual(<<"y">>, Id),
    ?assertEqual([], Nodes -- nodes_of(Others)).

nodes_of(Peers) -> [Node || {_, Node} <- Peers].

%% Divided over all workers; every vector is right, whoever computed it in the end.
thirty_in_parallel() ->
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 30)],
    {ok, #{embeddings := Vectors} = Answer} =
        ml_cluster:encode_parallel(Texts, default, #{fingerprint => true}),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors),
    Answer.

numerics_do_not_mix(Config) ->
    [Odd | Others] = cluster(["w1", "w2", "w3"], [], Config),
    behave(Odd, {kind, <<"x">>, <<"f16">>}),
    [behave(Peer, {kind, <<"x">>, <<"f32">>}) || Peer <- Others],
    #{model_id := <<"x">>, numerics := Numerics, nodes := Nodes} = thirty_in_parallel(),
    ?assertEqual(<<"f32">>, Numerics),
    ?assertEqual([], Nodes -- nodes_of(Others)),
    ?assertEqual(4, lists:sum([calls(Peer) || Peer <- [Odd | Others]])).

numerics_mix_when_configured(Config) ->
    [Odd | Others] = Peers = cluster(["w1", "w2", "w3"], [{mix_numerics, true}], Config),
    behave(Odd, {kind, <<"x">>, <<"f16">>}),
    [behave(Peer, {kind, <<"x">>, <<"f32">>}) || Peer <- Others],
    #{model_id := <<"x">>, numerics := Numerics, nodes := Nodes} = thirty_in_parallel(),
    ?assertEqual([<<"f16">>, <<"f32">>], Numerics),
    ?assertEqual(lists:sort(nodes_of(Peers)), lists:sort(Nodes)),
    ?assertEqual([1, 1, 1], [calls(Peer) || Peer <- Peers]).

%% Most texts are of a kind whose workers are gone when the rest is to be computed.
a_kind_that_is_lost_is_given_up(Config) ->
    [Left | Lost] = cluster(["w1", "w2", "w3"], [], Config),
    behave(Left, {kind, <<"x">>, <<"f16">>}),
    [behave(Peer, {kind_once, <<"x">>, <<"f32">>}) || Peer <- Lost],
    #{numerics := Numerics, nodes := Nodes} = thirty_in_parallel(),
    ?assertEqual({<<"f16">>, nodes_of([Left])}, {Numerics, Nodes}).

options_that_a_worker_does_not_name(Config) ->
    {Peer, Old} = worker("w1", Config),
    ok = peer:call(Peer, persistent_term, put, [{ml_worker, opts}, []]),
    start([{workers, [Old]}]),
    until(fun() -> state(Old) =:= up end),
    ?assertMatch(
        {ok, #{embeddings := [_]}}, ml_cluster:encode([<<"a">>], default, #{priority => bulk})
    ),
    ?assertMatch(
        {error, {bad_argument, dimensions, _}},
        ml_cluster:encode([<<"a">>], default, [{dimensions, 7}])
    ).

%% One of an older release: it knows none of the newest options, and refuses what it does not know.
workers_of_different_versions_work_together(Config) ->
    {OldPeer, Old} = worker("w1", Config),
    ok = peer:call(OldPeer, persistent_term, put, [{ml_worker, opts}, [format]]),
    {_, New} = worker("w2", Config),
    start([{workers, [Old, New]}]),
    until(fun() -> up() =:= lists:sort([Old, New]) end),
    Newest = #{priority => bulk, timings => true, trace => <<"t">>, timeout_ms => 10000},
    Asked = [
        begin
            {ok, #{embeddings := [_], nodes := [Node]}} = ml_cluster:encode([<<"a">>], default, Newest),
            Node
        end
     || _ <- lists:seq(1, 4)
    ],
    ?assertEqual(lists:sort([Old, New]), lists:usort(Asked)),
    %% What changes the answer goes to whom it can be said.
    [
        ?assertMatch(
            {ok, #{nodes := [New], tokens := [_]}},
            ml_cluster:encode([<<"a">>], default, #{usage => true})
        )
     || _ <- lists:seq(1, 4)
    ],
    %% The old one tells no model_id, so an answer is one's or the other's.
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 31)],
    behave({OldPeer, Old}, normal),
    {ok, #{embeddings := Vectors, nodes := Nodes}} = ml_cluster:encode_parallel(Texts, default, #{}),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors),
    ?assert(length(Nodes) > 0),
    ok = ml_cluster:remove_worker(New),
    ?assertEqual(
        {error,
            {bad_argument, usage,
                <<"expected an option that a worker names in its info(), got one that none does">>}},
        ml_cluster:encode([<<"a">>], default, #{usage => true})
    ),
    ?assertMatch({ok, [_, _]}, ml_cluster:predict(<<"a">>, default, Newest)).

%% With the probes silenced, what the connection carries is the calls'.
a_call_is_one_round_trip(Config) ->
    [{_, Node} = Peer] = cluster(["w1"], [], Config),
    {ok, Watcher} = ml_cluster_table:process(Node),
    ok = sys:suspend(Watcher),
    %% Let a probe that is under way end.
    until(fun() -> Seen = packets(Peer), timer:sleep(200), Seen =:= packets(Peer) end),
    {Here, There} = packets(Peer),
    [{ok, _} = ml_cluster:encode([<<"a">>], default) || _ <- lists:seq(1, 10)],
    {HereThen, ThereThen} = packets(Peer),
    %% Each call is one message; back come that it has begun, and its answer.
    ?assertEqual({20, 10}, {HereThen - Here, ThereThen - There}),
    ok = sys:resume(Watcher).

%% Messages that either side has received; the worker's node is asked over its standard input.
packets({Peer, Node}) ->
    {_, Code, File} = code:get_object_code(ml_cluster_test_nodes),
    {module, _} = peer:call(Peer, code, load_binary, [ml_cluster_test_nodes, File, Code]),
    {
        ml_cluster_test_nodes:received_from(Node),
        peer:call(Peer, ml_cluster_test_nodes, received_from, [node()])
    }.

%% Nobody that has to do with a call sends a message: not even to the process that made it.
a_call_asks_no_process_of_the_front(Config) ->
    [_ | _] = cluster(["w1", "w2"], [], Config),
    Test = self(),
    Pid = spawn_link(fun() ->
        receive go -> ok end,
        {ok, _} = ml_cluster:encode([<<"a">>], default),
        {ok, _} = ml_cluster:predict(<<"a">>, default)
    end),
    Ref = erlang:monitor(process, Pid),
    1 = erlang:trace(Pid, true, [send, procs, set_on_spawn, {tracer, Test}]),
    Pid ! go,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    Delivered = erlang:trace_delivered(all),
    receive {trace_delivered, all, Delivered} -> ok end,
    Traced = traced(),
    ?assert(length([Child || {trace, _, spawn, Child, _} <- Traced]) >= 2),
    ?assertEqual([], [T || T <- Traced, element(3, T) =:= send]).

traced() ->
    receive
        Trace when element(1, Trace) =:= trace -> [Trace | traced()]
    after 0 -> []
    end.

calls_go_on_while_the_front_stands_still(Config) ->
    [
        begin
            Peers = cluster(["w1", "w2", "w3"], [{strategy, Strategy}], Config),
            Processes = front_processes(),
            [ok = sys:suspend(Pid) || Pid <- Processes],
            all_right(under_load(20, fun() -> ok end)),
            {ok, #{nodes := Nodes}} =
                ml_cluster:encode_parallel([<<"a">>, <<"b">>, <<"c">>], default, #{}),
            ?assertEqual(3, length(Nodes)),
            ?assertEqual(3, length(ml_cluster:workers())),
            [ok = sys:resume(Pid) || Pid <- Processes],
            ok = application:stop(ml_cluster),
            [peer:stop(Peer) || {Peer, _} <- Peers]
        end
     || Strategy <- [round_robin, least_loaded, consistent]
    ].

%% Without one it would have half of the pieces waiting.
a_slow_worker_holds_no_more_than_its_budget(Config) ->
    Limits = #{piece_texts => 1, worker_bytes => 64},
    [Slow, Fast] = cluster(["w1", "w2"], [{limits, Limits}], Config),
    behave(Slow, {slow, 1000}),
    Texts = [<<(binary:copy(<<"x">>, 50))/binary, I>> || I <- lists:seq($a, $z)],
    {ok, #{embeddings := Vectors}} = ml_cluster:encode(Texts, default),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors),
    ?assertEqual(26, calls(Slow) + calls(Fast)),
    ?assert(calls(Fast) > 2 * calls(Slow)).

large_calls_go_in_pieces(Config) ->
    Peers = cluster(["w1", "w2"], [{limits, #{piece_texts => 10}}], Config),
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 95)],
    {ok, #{embeddings := Vectors, tokens := Tokens}} =
        ml_cluster:encode(Texts, default, #{usage => true}),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors),
    ?assertEqual(95, length(Tokens)),
    ?assertEqual(10, lists:sum([calls(Peer) || Peer <- Peers])).

the_consistent_strategy_keeps_a_texts_worker(Config) ->
    Peers = cluster(["w1", "w2", "w3"], [{strategy, consistent}], Config),
    Where = fun() ->
        [begin {ok, #{nodes := [N]}} = ml_cluster:encode([integer_to_binary(I)], default), N end
         || I <- lists:seq(1, 60)]
    end,
    Before = Where(),
    ?assertEqual(Before, Where()),
    {_, Gone} = hd(Peers),
    ok = ml_cluster:remove_worker(Gone),
    [?assertEqual(B, A) || {B, A} <- lists:zip(Before, Where()), B =/= Gone],
    Texts = [integer_to_binary(I) || I <- lists:seq(1, 60)],
    {ok, #{embeddings := Vectors}} = ml_cluster:encode(Texts, default),
    ?assertEqual([vector(Text) || Text <- Texts], Vectors).

%% ---- What is seen of it ----

tell_suite(Name, Measurements, Metadata) ->
    ?MODULE ! {event, Name, Measurements, Metadata}.

%% The events that Fun brings about, those of workers' states left out.
events(Fun) ->
    _ = events(),
    _ = Fun(),
    events().

events() ->
    receive
        {event, [ml_cluster, worker | _], _, _} -> events();
        {event, [ml_cluster | Name], Measurements, Metadata} -> [{Name, Measurements, Metadata} | events()]
    after 0 -> []
    end.

events_tell_of_calls_attempts_and_workers(Config) ->
    true = register(?MODULE, self()),
    [{_, Node} = Peer] = cluster(["w1"], [{events, {?MODULE, tell_suite}}], Config),
    receive
        {event, [ml_cluster, worker, up], #{duration := _, system_time := _}, Up} ->
            ?assertMatch(#{node := Node, role := remote, from := connecting, reason := none}, Up)
    after 5000 -> error(no_event)
    end,
    ?assertMatch(
        [
            {[call, start], #{system_time := _, monotonic_time := _},
                #{function := encode, model := default}},
            {[attempt, stop], #{duration := _},
                #{node := Node, function := encode, outcome := answered}},
            {[call, stop], #{duration := _, texts := 2, cached := 0},
                #{function := encode, model := default, outcome := ok, nodes := [Node]}}
        ],
        events(fun() -> {ok, _} = ml_cluster:encode([<<"a">>, <<"b">>], default) end)
    ),
    behave(Peer, {raise_in, encode, {overloaded, 7}}),
    ?assertMatch(
        [
            {[call, start], _, _},
            {[attempt, stop], _, #{outcome := refused, reason := {overloaded, 7}}},
            {[call, stop], _, #{outcome := error, reason := {overloaded, 7}, nodes := []}}
        ],
        events(fun() -> {error, _} = ml_cluster:encode([<<"a">>], default) end)
    ),
    ok = ml_cluster:drain_worker(Node),
    receive {event, [ml_cluster, worker, draining], _, #{node := Node, from := up}} -> ok end,
    ok = ml_cluster:remove_worker(Node),
    receive {event, [ml_cluster, worker, removed], _, #{node := Node}} -> ok end.

a_handler_that_fails_harms_no_call(Config) ->
    [{_, Node} | _] = cluster(["w1", "w2"], [{events, fun(_, _, _) -> exit(broken) end}], Config),
    all_right(under_load(10, fun() -> ok end)),
    ok = ml_cluster:drain_worker(Node),
    until(fun() -> state(Node) =:= draining end),
    ok = ml_cluster:remove_worker(Node),
    all_right(under_load(10, fun() -> ok end)).

attempts_are_counted_by_worker_and_outcome(Config) ->
    [{_, Node} = Peer] = cluster(["w1"], [{retries, 0}], Config),
    Outcomes = [
        {normal, answered},
        {{raise_in, encode, {bad_argument, texts, <<"expected …"/utf8>>}}, rejected},
        {{raise_in, encode, {overloaded, 1}}, refused},
        {{raise_in, encode, {model_failed, <<"m">>, <<"broken">>}}, failed},
        {{slow, 1000}, late}
    ],
    lists:foreach(
        fun({Behaviour, Outcome}) ->
            behave(Peer, Behaviour),
            _ = ml_cluster:encode([<<"a">>], default, #{timeout_ms => 300}),
            until(fun() -> maps:get(Outcome, ml_cluster_metrics:attempts(Node)) =:= 1 end)
        end,
        Outcomes
    ),
    ?assertMatch([#{answered := 1, rejected := 1, refused := 1, failed := 1, late := 1}], ml_cluster:workers()),
    Series = fun() ->
        [O || {[{worker, N}, {outcome, O}], #{count := 1}} <-
            ml_cluster_histogram:snapshot(worker_request), N =:= Node]
    end,
    ?assertEqual(lists:sort([O || {_, O} <- Outcomes]), lists:sort(Series())),
    %% What ends after the removal brings no series back.
    behave(Peer, {slow, 300}),
    Caller = self(),
    spawn_link(fun() -> Caller ! ml_cluster:encode([<<"a">>], default) end),
    until(fun() -> in_flight(Node) =:= 1 end),
    ok = ml_cluster:remove_worker(Node),
    receive {ok, #{nodes := [Node]}} -> ok end,
    ?assertEqual([], Series()).

%% ---- The application ----

the_application_stops_and_starts(Config) ->
    [{_, Node}] = cluster(["w1"], [], Config),
    ok = application:stop(ml_cluster),
    ?assertEqual({error, not_started}, ml_cluster:encode([<<"a">>], default)),
    ?assertEqual([], ml_cluster:workers()),
    start([{workers, [Node]}]),
    until(fun() -> up() =:= [Node] end).

wrong_configuration_stops_the_start(_) ->
    {error, {ml_cluster, {{bad_config, Key, _, Got}, _}}} =
        ml_cluster_test_nodes:configure([{retries, many}]),
    ?assertEqual({retries, many}, {Key, Got}).

%% One that serves in somebody else's listener, one that is no adapter, one that is not there.
an_adapter_is_a_module_that_listens(_) ->
    [
        ?assertMatch(
            {error, {ml_cluster, {{bad_config, {http, adapter}, <<_/binary>>, Adapter}, _}}},
            ml_cluster_test_nodes:configure([{http, #{adapter => Adapter}}])
        )
     || Adapter <- [ml_cluster_cowboy, lists, no_such_module]
    ].

numbers_are_told_under_another_servers_listener(_) ->
    {ok, _} = ml_cluster_test_nodes:configure([{http, #{adapter => none}}]),
    ?assertEqual(nomatch, string:find(ml_cluster_prometheus:text(text), "\nml_cluster_http_connections ")).

origins_are_allowed_under_another_servers_listener(_) ->
    Origin = <<"https://a.example">>,
    {ok, _} = ml_cluster_test_nodes:configure([{http, #{adapter => none, cors => [Origin]}}]),
    ?assertMatch([{ml_cluster_core_sup, _, _, _}], supervisor:which_children(ml_cluster_sup)),
    Allowed = fun(From) ->
        Head = #{method => <<"OPTIONS">>, path => <<"/infer">>, headers => #{<<"origin">> => From}},
        {respond, #{status := 204, headers := Headers}} = ml_cluster_http:admit(Head),
        proplists:get_value(<<"access-control-allow-origin">>, Headers)
    end,
    ?assertEqual({Origin, undefined}, {Allowed(Origin), Allowed(<<"https://b.example">>)}).
