%% @doc Three real workers, a front, 64 clients, and one thing that goes wrong with one worker at a
%% time. While a worker is healthy no call fails, each has one answer, each answer is the reference's,
%% and no worker computes a text whose answer was given by another.
%%
%% The last can be held against counters because the workers keep no cache, no two clients ask for the
%% same text, and every call is small enough to go to one worker: a worker that nothing happens to
%% computes exactly the texts of the calls that it answers.
-module(failover_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CLIENTS, 64).
-define(TEXTS_OF_A_CLIENT, 8).
-define(MODEL, "all-MiniLM-L6-v2").
%% Longer than a machine with more to do than cores lets a process wait; each case that waits for it
%% takes as long.
-define(SUSPECT_AFTER_MS, 3000).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        killed, killed_least_loaded, killed_consistent, stopped, cut, stalled, delayed, delayed_too_long,
        drained_by_signal, drained_by_operator, overloaded, poisoned_ends, poisoned_opens_the_breaker,
        a_split_call_repeats_only_what_is_missing, deadline_travels, a_caller_that_goes_cancels
    ] ++ where_namespaces_can_be_had([gone_without_a_word]).

where_namespaces_can_be_had(Cases) ->
    case net_namespace:is_available() of
        true ->
            Cases;
        false ->
            io:format(user, "NOT RUN: ~p, no network namespaces here~n", [Cases]),
            []
    end.

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_failover),
    Texts = [text(I) || I <- lists:seq(1, ?CLIENTS * ?TEXTS_OF_A_CLIENT)],
    Slices = slices(lists:zip(Texts, e2e:reference(Texts))),
    Steady = [e2e:start_worker(worker, worker_arguments()) || _ <- [1, 2]],
    [{slices, Slices}, {steady, Steady} | Config].

end_per_suite(Config) ->
    [ok = e2e:stop(Worker) || Worker <- proplists:get_value(steady, Config)],
    e2e:stop_distribution().

text(I) ->
    Words = [<<"storm">>, <<"harbour">>, <<"Brücke"/utf8>>, <<"tax form">>, <<"日本語"/utf8>>, <<"cat">>,
             <<"quantum">>, <<"bread and butter">>, <<"naïve"/utf8>>, <<"1848">>],
    Some = [lists:nth(1 + (I * 7 + N * N * 3) rem length(Words), Words) || N <- lists:seq(1, 1 + I rem 6)],
    iolist_to_binary([integer_to_binary(I), [[" ", Word] || Word <- Some]]).

slices([]) -> [];
slices(Items) ->
    {Slice, Rest} = lists:split(?TEXTS_OF_A_CLIENT, Items),
    [Slice | slices(Rest)].

%% Without a cache, or nothing would be computed after a moment. One thread each: there are three.
worker_arguments() -> ["--cache-bytes", "0", "--compute-threads", "1"].

%% ---- One worker goes -----------------------------------------------------------------------------

killed(Config) -> killed(Config, round_robin).
killed_least_loaded(Config) -> killed(Config, least_loaded).
killed_consistent(Config) -> killed(Config, consistent).

killed(Config, Strategy) ->
    while_called(Config, #{strategy => Strategy}, fun(#{victim := Victim} = Cluster) ->
        _ = e2e:signal(Victim, "KILL"),
        ok = gone_and_not_missed(Cluster),
        ok = back_after_a_restart(Cluster, [])
    end).

stopped(Config) ->
    while_called(Config, #{}, fun(#{victim := Victim} = Cluster) ->
        _ = e2e:signal(Victim, "STOP"),
        ok = gone_and_not_missed(Cluster),
        _ = e2e:signal(Victim, "CONT"),
        ok = back(Cluster)
    end).

cut(Config) -> disturbed(Config, cut).
stalled(Config) -> disturbed(Config, stall).
%% An answer to a probe takes twice that.
delayed_too_long(Config) -> disturbed(Config, {delay, ?SUSPECT_AFTER_MS * 2}).

disturbed(Config, Condition) ->
    while_called(Config, #{proxy => true}, fun(#{proxy := Proxy} = Cluster) ->
        ok = tcp_proxy:set(Proxy, Condition),
        ok = gone_and_not_missed(Cluster),
        ok = tcp_proxy:set(Proxy, pass),
        ok = back(Cluster)
    end).

%% Packets vanish: neither end is told anything.
gone_without_a_word(Config) ->
    while_called(Config, #{namespace => true}, fun(#{link := Link} = Cluster) ->
        ok = net_namespace:set_link(Link, "down"),
        ok = gone_and_not_missed(Cluster),
        ok = net_namespace:set_link(Link, "up"),
        ok = back(Cluster)
    end).

%% A slow network is no fault: the worker stays, and its answers count.
delayed(Config) ->
    while_called(Config, #{proxy => true}, fun(#{proxy := Proxy} = Cluster) ->
        ok = tcp_proxy:set(Proxy, {delay, 300}),
        ok = rounds(Cluster, 1),
        ok = answers(Cluster),
        ?assertMatch(#{state := up, failed := 0}, seen(Cluster))
    end).

drained_by_signal(Config) ->
    while_called(Config, #{}, fun(#{victim := Victim} = Cluster) ->
        _ = e2e:signal(Victim, "TERM"),
        {0, _} = e2e:await_exit(Victim),
        %% Nothing that it had begun was lost.
        ?assertMatch(#{failed := 0}, seen(Cluster)),
        ok = gone_and_not_missed(Cluster),
        ok = back_after_a_restart(Cluster, [])
    end).

drained_by_operator(Config) ->
    while_called(Config, #{}, fun(#{front := Front} = Cluster) ->
        ok = erpc:call(Front, ml_cluster, drain_worker, [victim(Cluster)]),
        ok = e2e:await_state(Front, victim(Cluster), [draining]),
        ok = e2e:eventually(fun() -> maps:get(in_flight, seen(Cluster)) =:= 0 end),
        #{answered := Answered, failed := 0} = seen(Cluster),
        ok = rounds(Cluster, 1),
        ?assertMatch(#{state := draining, answered := Answered}, seen(Cluster)),
        ok = erpc:call(Front, ml_cluster, add_worker, [victim(Cluster)]),
        ok = back(Cluster)
    end).

%% It has room for a text or two: most calls are refused, and none of them is missed.
overloaded(Config) ->
    while_called(Config, #{arguments => ["--queue-tokens", "12"]}, fun(Cluster) ->
        ok = rounds(Cluster, 2),
        #{refused := Refused, failed := Failed, state := State} = seen(Cluster),
        ?assertEqual({up, 0}, {State, Failed}),
        ?assert(Refused > 0)
    end).

%% ---- One worker computes nonsense ----------------------------------------------------------------

%% The worker finds out by itself and ends.
poisoned_ends(Config) ->
    Root = copy_of_the_model(Config, ?FUNCTION_NAME),
    while_called(Config, #{arguments => on_a_copy(Root, "1")}, fun(#{victim := Victim} = Cluster) ->
        Weights = poison(Root),
        {70, _} = e2e:await_exit(Victim, 60000),
        ok = gone_and_not_missed(Cluster),
        ok = heal(Root, Weights),
        ok = back_after_a_restart(Cluster, on_a_copy(Root, "1"))
    end).

%% The worker stays and fails; the front takes it out, and a probe brings it back once it is well.
poisoned_opens_the_breaker(Config) ->
    Root = copy_of_the_model(Config, ?FUNCTION_NAME),
    while_called(Config, #{arguments => on_a_copy(Root, "0")}, fun(#{front := Front} = Cluster) ->
        Weights = poison(Root),
        ok = e2e:await_state(Front, victim(Cluster), [resting]),
        #{failed := Failed} = seen(Cluster),
        ?assert(Failed >= 3),
        %% The calls that were under way have failed. No further one does: probes try it, not calls.
        ok = rounds(Cluster, 1),
        #{failed := AtRest} = seen(Cluster),
        ok = rounds(Cluster, 2),
        ?assertMatch(#{failed := AtRest}, seen(Cluster)),
        ?assertNotEqual(up, maps:get(state, seen(Cluster))),
        ok = heal(Root, Weights),
        ok = back(Cluster)
    end).

copy_of_the_model(Config, Case) ->
    Root = filename:join([proplists:get_value(priv_dir, Config), Case, "models"]),
    ok = filelib:ensure_path(Root),
    "" = os:cmd(lists:concat(["cp -rL ", e2e:root(), "/models/", ?MODEL, " ", Root])),
    Root.

on_a_copy(Root, SelfCheckInterval) ->
    ["--models-root", Root, "--state-dir", filename:join(Root, "state"),
     "--self-check-interval", SelfCheckInterval].

%% NaN into the weights that the worker has mapped, from the first on: what is computed meanwhile is
%% right or not finite, never something between. The weights as they were.
poison(Root) ->
    {ok, Weights} = file:read_file(weights_file(Root)),
    <<Length:64/little, _/binary>> = Weights,
    From = 8 + Length,
    ok = overwrite(Root, From, binary:copy(<<16#7FC00000:32/little>>, (byte_size(Weights) - From) div 4)),
    Weights.

heal(Root, Weights) -> overwrite(Root, 0, Weights).

%% In place: the file that is mapped, not another one under its name.
overwrite(Root, At, Bytes) ->
    {ok, Device} = file:open(weights_file(Root), [read, write, raw, binary]),
    ok = file:pwrite(Device, At, Bytes),
    file:close(Device).

weights_file(Root) -> filename:join([Root, ?MODEL, "model.safetensors"]).

%% ---- Single calls --------------------------------------------------------------------------------

%% A call divided over three workers of which one hangs: the others are asked for its texts, and for
%% none of their own again.
a_split_call_repeats_only_what_is_missing(Config) ->
    with_cluster(Config, #{}, fun(#{front := Front, victim := Victim} = Cluster) ->
        Items = lists:append(proplists:get_value(slices, Config)),
        Asked = lists:sublist(Items, 90),
        Before = computed(Config),
        _ = e2e:signal(Victim, "STOP"),
        {ok, #{embeddings := Vectors, nodes := Nodes}} =
            erpc:call(Front, ml_cluster, encode_parallel, [[T || {T, _} <- Asked], default, #{}], 60000),
        ?assert(e2e:largest_difference(Vectors, [V || {_, V} <- Asked]) < 1.0e-5),
        ?assertEqual(lists:sort(steady(Config)), lists:sort(Nodes)),
        ?assertEqual(90, sum(computed(Config)) - sum(Before)),
        ?assertMatch(#{failed := 1}, seen(Cluster))
    end).

%% The front is stopped once the worker has the call, so it is not the front's giving up that the
%% worker goes by. The worker is busy with one long batch meanwhile.
deadline_travels(_) ->
    with_busy_worker(fun(#{front := Front, worker := Worker} = Cluster) ->
        Late = fun() -> maps:get(late, maps:get(queue, info(Worker))) end,
        Before = Late(),
        ok = busy(Cluster),
        Pid = erpc:call(Front, os, getpid, []),
        Call = erpc:send_request(Front, ml_cluster, encode, [[<<"late">>], default, #{timeout_ms => 1500}]),
        ok = e2e:eventually(fun() -> waiting(Worker) >= 1 end),
        _ = os:cmd("kill -STOP " ++ Pid),
        try
            ok = e2e:eventually(fun() -> Late() > Before end, 30000)
        after
            os:cmd("kill -CONT " ++ Pid)
        end,
        ?assertEqual({error, deadline_exceeded}, erpc:receive_response(Call, 60000))
    end).

a_caller_that_goes_cancels(_) ->
    with_busy_worker(fun(#{front := Front, worker := Worker} = Cluster) ->
        Cancelled = fun() ->
            #{queue := #{cancelled := OfTexts}, calls := #{cancelled := OfCalls}} = info(Worker),
            {OfCalls, OfTexts}
        end,
        {0, 0} = Cancelled(),
        ok = busy(Cluster),
        Texts = [<<"gone ", (integer_to_binary(I))/binary>> || I <- lists:seq(1, 20)],
        Caller = spawn(Front, ml_cluster, encode, [Texts, default]),
        ok = e2e:eventually(fun() -> waiting(Worker) >= 20 end),
        exit(Caller, kill),
        ok = e2e:eventually(fun() -> Cancelled() =:= {1, 20} end, 60000)
    end).

%% A front with one worker, whose batches have no end.
with_busy_worker(Fun) ->
    Arguments = ["--batch-tokens", "1000000" | worker_arguments()],
    with_programs(fun() ->
        Worker = e2e:node_of(started(e2e:start_worker(worker, Arguments))),
        {_, Front} = front([Worker], #{}),
        ok = e2e:await_state(Front, Worker, [up]),
        Fun(#{front => Front, worker => Worker})
    end).

%% Long texts, which are one batch of some seconds, longer than a deadline may be; returns when the
%% worker computes them.
busy(#{worker := Worker}) ->
    Long = binary:copy(<<"word ">>, 300),
    Texts = [<<(integer_to_binary(I))/binary, " ", Long/binary>> || I <- lists:seq(1, 120)],
    _ = erpc:send_request(Worker, ml_worker, encode, [Texts, default]),
    e2e:eventually(fun() -> maps:get(running_tokens, maps:get(queue, info(Worker))) > 25000 end).

waiting(Worker) -> maps:get(queued_texts, maps:get(queue, info(Worker))).

%% ---- The cluster ---------------------------------------------------------------------------------

%% Clients call while Fun does something to one of three workers.
while_called(Config, Options, Fun) ->
    with_cluster(Config, Options, fun(#{front := Front, strategy := Strategy} = Cluster) ->
        Before = computed(Config),
        ok = erpc:call(Front, failover_clients, start, [proplists:get_value(slices, Config)]),
        ok = rounds(Cluster, 1),
        ok = Fun(Cluster),
        ok = settled(Cluster),
        #{calls := Calls, texts := Given} = Counts = erpc:call(Front, failover_clients, finish, [], 120000),
        ?assertMatch(#{failed := [], wrong := [], late := []}, Counts),
        ct:pal("~b calls, texts by worker: ~p~n~p", [Calls, Given, erpc:call(Front, ml_cluster, workers, [])]),
        Strategy =/= consistent andalso each_call_was_answered_once(Calls, Cluster),
        Strategy =/= consistent andalso nothing_was_computed_twice(Before, Given, Config),
        the_others_carried_on(Cluster, Config)
    end).

with_cluster(Config, Options, Fun) ->
    with_programs(fun() ->
        {Victim, Network} = start_victim(Options),
        Nodes = [e2e:node_of(Victim) | steady(Config)],
        {_, Front} = front(Nodes, Options),
        [ok = e2e:await_state(Front, Node, [up]) || Node <- Nodes],
        Fun(Network#{front => Front, victim => Victim,
                     strategy => maps:get(strategy, Options, round_robin)})
    end).

front(Nodes, Options) ->
    Front = e2e:start_front([
        {http, false}, {workers, Nodes}, {suspect_after_ms, ?SUSPECT_AFTER_MS},
        {strategy, maps:get(strategy, Options, round_robin)}
    ]),
    put(front, Front),
    Front.

start_victim(#{proxy := true}) ->
    Node = list_to_atom(e2e:unique(worker) ++ "@127.0.0.1"),
    Port = e2e:free_port(),
    Arguments = ["--no-epmd", "--port-range", integer_to_list(Port)],
    Worker = started(e2e:start_worker_as(Node, Arguments ++ worker_arguments())),
    [Name, _] = string:split(atom_to_list(Node), "@"),
    {Worker, #{proxy => tcp_proxy:start(Name, Port)}};
start_victim(#{namespace := true}) ->
    {Worker, Link} = net_namespace:start_worker(worker_arguments()),
    {started(Worker), #{link => Link}};
start_victim(Options) ->
    Arguments = worker_arguments() ++ maps:get(arguments, Options, []),
    {started(e2e:start_worker(worker, Arguments)), #{}}.

%% What a case starts ends with it, whatever becomes of it.
with_programs(Fun) ->
    put(started, []),
    try
        Fun()
    after
        _ = case erase(front) of undefined -> ok; Front -> e2e:stop_peer(Front) end,
        [ok = e2e:stop(Program) || Program <- erase(started)]
    end.

started(Program) ->
    put(started, [Program | get(started)]),
    Program.

steady(Config) -> [e2e:node_of(Worker) || Worker <- proplists:get_value(steady, Config)].
victim(#{victim := Victim}) -> e2e:node_of(Victim).
seen(#{front := Front} = Cluster) -> e2e:worker_state(Front, victim(Cluster)).
info(Node) -> erpc:call(Node, ml_worker, info, [], 60000).
sum(Map) -> lists:sum(maps:values(Map)).

rounds(#{front := Front}, Count) -> erpc:call(Front, failover_clients, rounds, [Count], 120000).

%% The front has taken the worker out, and every client is served by the others.
gone_and_not_missed(#{front := Front} = Cluster) ->
    ok = e2e:await_state(Front, victim(Cluster), [resting, connecting]),
    rounds(Cluster, 1).

%% The worker is in service again: it takes calls and answers them.
back(#{front := Front} = Cluster) ->
    ok = e2e:await_state(Front, victim(Cluster), [up]),
    answers(Cluster).

%% The same when it has ended: it is started again under its name.
back_after_a_restart(Cluster, Arguments) ->
    Again = started(e2e:start_worker_as(victim(Cluster), worker_arguments() ++ Arguments)),
    back(Cluster#{victim := Again}).

answers(Cluster) ->
    #{answered := Before} = seen(Cluster),
    e2e:eventually(fun() -> maps:get(answered, seen(Cluster)) > Before end, 60000).

%% ---- What was counted ----------------------------------------------------------------------------

%% Clients have stopped asking when they report, so only their last calls are under way.
settled(#{front := Front}) ->
    ok = erpc:call(Front, failover_clients, rounds, [1], 120000).

%% Texts that each steady worker has computed.
computed(Config) ->
    maps:from_list([{Node, maps:get(texts, maps:get(queue, info(Node)))} || Node <- steady(Config)]).

each_call_was_answered_once(Calls, #{front := Front}) ->
    Workers = erpc:call(Front, ml_cluster, workers, []),
    ?assertEqual(Calls, lists:sum([Answered || #{answered := Answered} <- Workers])).

nothing_was_computed_twice(Before, Given, Config) ->
    Computed = maps:map(fun(Node, Count) -> Count - maps:get(Node, Before) end, computed(Config)),
    Answered = maps:from_list([{Node, maps:get([Node], Given, 0)} || Node <- steady(Config)]),
    ?assertEqual(Answered, Computed).

the_others_carried_on(#{front := Front}, Config) ->
    [?assertMatch(#{state := up, failed := 0, refused := 0, in_flight := 0}, e2e:worker_state(Front, Node))
     || Node <- steady(Config)],
    ok.
