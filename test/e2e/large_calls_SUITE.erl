%% @doc Calls of many texts: a hundred thousand in one, with bounded memory in the front and in the
%% workers; and a worker that takes nothing more, which holds up no piece of another.
-module(large_calls_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

%% Of random weights, tiny and fast: what is measured is memory (test/e2e/small_models.py).
-define(MODEL, <<"small-prompted">>).
-define(TEXTS, 100000).
-define(MIB, 1048576).

suite() -> [{timetrap, {minutes, 5}}].

all() -> [a_hundred_thousand_texts, a_hundred_thousand_lists, a_stalled_worker_holds_up_nobody].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_large),
    Small = e2e:small_models(),
    Arguments = ["--models-root", Small, "--model", binary_to_list(?MODEL), "--compute-threads", "1",
                 "--cache-bytes", "0"],
    Workers = [e2e:start_worker(worker, Arguments) || _ <- [1, 2]],
    [{workers, Workers}, {arguments, Arguments} | Config].

end_per_suite(Config) ->
    [ok = e2e:stop(Worker) || Worker <- workers(Config)],
    e2e:stop_distribution().

workers(Config) -> proplists:get_value(workers, Config).
nodes_of(Config) -> [e2e:node_of(Worker) || Worker <- workers(Config)].

with_front(Environment, Nodes, Fun) ->
    {_, Front} = Peer = e2e:start_front([{http, false}, {workers, Nodes} | Environment]),
    try
        [ok = e2e:await_state(Front, Node, [up]) || Node <- Nodes],
        Fun(Front)
    after
        e2e:stop_peer(Peer)
    end.

%% ---- Memory --------------------------------------------------------------------------------------

%% Vectors as binaries, which processes share: there is the input, the output and what is on its way
%% (64 pieces of 512). The lists around them are copied from the process that gathers them to the
%% caller, and by the collector.
a_hundred_thousand_texts(Config) ->
    #{input := Input, output := Output, peak := Peak} = measured(Config, binary),
    ?assert(Peak < 2 * (Input + Output) + 32 * ?MIB).

%% Vectors as lists of floats, seven times as large in the VM. They come together packed, so that
%% beyond the answer itself there is only the copy that the collector makes of it, once.
a_hundred_thousand_lists(Config) ->
    #{input := Input, output := Output, peak := Peak} = measured(Config, list),
    ?assert(Peak < 3 * (Input + Output) + 32 * ?MIB).

%% The worker sees pieces only: what it holds does not depend on the number of texts in the call.
measured(Config, Format) ->
    with_front([], nodes_of(Config), fun(Front) ->
        Before = [resident(Worker) || Worker <- workers(Config)],
        Measured = erpc:call(Front, ?MODULE, measured_call, [Format], 240000),
        Grown = [resident(W) - B || {W, B} <- lists:zip(workers(Config), Before)],
        ct:pal("~ts: ~p~nworkers grew by ~p", [Format, Measured, Grown]),
        [?assert(Bytes < 64 * ?MIB) || Bytes <- Grown],
        Measured
    end).

%% In the front's node.
measured_call(Format) ->
    Texts = [integer_to_binary(N) || N <- lists:seq(1, ?TEXTS)],
    true = erlang:garbage_collect(),
    Before = erlang:memory(total),
    Sampler = spawn_link(fun() -> sample(Before) end),
    Opts = #{format => Format, timeout_ms => 240000},
    {Took, {ok, #{embeddings := Vectors}}} =
        timer:tc(fun() -> ml_cluster:encode(Texts, ?MODEL, Opts) end),
    Peak = peak(Sampler) - Before,
    ?TEXTS = length(Vectors),
    #{seconds => Took / 1.0e6, input => size_of(Texts), output => size_of(Vectors), peak => Peak}.

%% What a list of binaries or of lists takes: the heap's words, and what lies beside the heap.
size_of(Items) ->
    Aside = lists:sum([byte_size(Item) || Item <- Items, is_binary(Item), byte_size(Item) > 64]),
    Aside + erts_debug:flat_size(Items) * erlang:system_info(wordsize).

sample(Peak) ->
    receive
        {peak, From} -> From ! {self(), Peak}
    after 5 -> sample(max(Peak, erlang:memory(total)))
    end.

peak(Sampler) ->
    Sampler ! {peak, self()},
    receive {Sampler, Peak} -> Peak end.

%% The most that the worker ever had, in bytes.
resident(Worker) ->
    {ok, Status} = file:read_file(lists:concat(["/proc/", e2e:os_pid(Worker), "/status"])),
    {match, [Kib]} = re:run(Status, "VmHWM:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kib) * 1024.

%% ---- A stalled connection ------------------------------------------------------------------------

%% Of a call's pieces the stalled worker gets two, by its budget; all others are computed while the
%% front still takes it for well.
a_stalled_worker_holds_up_nobody(Config) ->
    Name = e2e:unique(worker),
    Port = e2e:free_port(),
    Arguments = ["--no-epmd", "--port-range", integer_to_list(Port) | proplists:get_value(arguments, Config)],
    Worker = e2e:start_worker_as(list_to_atom(Name ++ "@127.0.0.1"), Arguments),
    Proxy = tcp_proxy:start(Name, Port),
    Stalled = e2e:node_of(Worker),
    Limits = #{piece_texts => 100, worker_bytes => 25000},
    Environment = [{suspect_after_ms, 240000}, {limits, Limits}],
    try
        with_front(Environment, [Stalled | nodes_of(Config)], fun(Front) ->
            ok = tcp_proxy:set(Proxy, stall),
            %% 50 pieces of some 10,500 bytes.
            Texts = [<<(integer_to_binary(N))/binary, (binary:copy(<<" x">>, 48))/binary>> || N <- lists:seq(10001, 15000)],
            Call = erpc:send_request(Front, ml_cluster, encode, [Texts, ?MODEL, #{timeout_ms => 240000}]),
            Others = fun() ->
                lists:sum([maps:get(answered, e2e:worker_state(Front, N)) || N <- nodes_of(Config)])
            end,
            ok = e2e:eventually(fun() ->
                Answered = Others(),
                Answered =:= 48 orelse {answered, Answered, e2e:worker_state(Front, Stalled)}
            end, 120000),
            ?assertMatch(#{state := up, in_flight := 2, answered := 0}, e2e:worker_state(Front, Stalled)),
            ok = tcp_proxy:set(Proxy, pass),
            {ok, #{embeddings := Vectors}} = erpc:receive_response(Call, 120000),
            ?assertEqual(5000, length(Vectors))
        end)
    after
        e2e:stop(Worker)
    end.
