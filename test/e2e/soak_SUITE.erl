%% @doc Mixed load for a while, and a great many calls: every answer is the one that was given first,
%% the worker's memory stays where it is, and at the end it drains and exits with 0. CI runs it short;
%% `scripts/test-long soak' for an hour against a worker built with AddressSanitizer and
%% UndefinedBehaviorSanitizer, `scripts/test-long million' for a million calls.
%%
%%   ML_WORKER_SOAK_SECONDS   of mixed load (15)
%%   ML_WORKER_SOAK_CALLS     (100000)
%%   ML_WORKER_PROGRAM        build/ml_worker
-module(soak_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CLIENTS, 16).
-define(CALLERS, 64).
-define(KNOWN, 48).           % texts whose vectors are compared
-define(ALLOWED, <<"small-prompted">>).
-define(MIB, 1048576).

suite() -> [{timetrap, {hours, 4}}].

all() -> [mixed_load, many_calls].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_soak),
    Small = e2e:small_models(),
    [{small, Small} | Config].

end_per_suite(_) -> e2e:stop_distribution().

setting(Name, Default) -> list_to_integer(os:getenv(Name, integer_to_list(Default))).

%% What sanitizers find ends the program with another status than 0.
with_worker(Arguments, Fun) ->
    Node = list_to_atom(e2e:unique(soak) ++ "@127.0.0.1"),
    {Options, Environment} = e2e:as_worker(Node, "127.0.0.1"),
    Program = os:getenv("ML_WORKER_PROGRAM", filename:join([e2e:root(), "build", "ml_worker"])),
    Worker = e2e:spawn_program(Program, Options ++ Arguments, Environment),
    try
        ok = e2e:await_log(Worker, <<"ready">>, 300000),
        Fun(Worker#{node := Node}),
        _ = e2e:signal(Worker, "TERM"),
        {Status, Log} = e2e:await_exit(Worker, 120000),
        ct:log("~ts", [binary:part(Log, byte_size(Log), -min(byte_size(Log), 20000))]),
        ?assertEqual(0, Status)
    after
        e2e:stop(Worker)
    end.

%% ---- Mixed load ----------------------------------------------------------------------------------

%% A queue and a cache that are small enough to be full at times.
mixed_load(Config) ->
    Models = filename:join(e2e:root(), "models"),
    Arguments = [
        "--models-root", Models, "--models-root", proplists:get_value(small, Config),
        "--allow-model", binary_to_list(?ALLOWED), "--cache-bytes", "200000", "--queue-tokens", "60000"
    ],
    with_worker(Arguments, fun(Worker) ->
        Node = e2e:node_of(Worker),
        Known = known(Node),
        Until = erlang:monotonic_time(second) + setting("ML_WORKER_SOAK_SECONDS", 15),
        Clients = [spawn_monitor(fun() -> exit({done, client(Worker, Known, Until, #{})}) end)
                   || _ <- lists:seq(1, ?CLIENTS)],
        Done = lists:foldl(fun added/2, #{}, [receive {'DOWN', M, process, P, Why} -> counts(Why) end
                                              || {P, M} <- Clients]),
        ct:pal("mixed load: ~p~n~p kB resident", [Done, resident(Worker) div 1024]),
        [?assert(is_map_key(Kind, Done), Kind) || Kind <- kinds()]
    end).

counts({done, Counts}) -> Counts;
counts(Why) -> error(Why).

added(Counts, Sum) -> maps:merge_with(fun(_, A, B) -> A + B end, Counts, Sum).

%% Texts of 1 to some 200 tokens with the vectors that the worker gives for them at first.
known(Node) ->
    Texts = [unicode:characters_to_binary(["größe ", lists:duplicate(N * N div 12, "word "), integer_to_list(N)])
             || N <- lists:seq(1, ?KNOWN)],
    #{embeddings := Vectors} = rpc:call(Node, ml_worker, encode, [Texts, default, #{format => binary}]),
    list_to_tuple(lists:zip(Texts, Vectors)).

client(Worker, Known, Until, Counts) ->
    case erlang:monotonic_time(second) < Until of
        true ->
            Kind = lists:nth(rand:uniform(length(kinds())), kinds()),
            ok = act(Kind, Worker, Known),
            client(Worker, Known, Until, added(#{Kind => 1}, Counts));
        false ->
            Counts
    end.

kinds() ->
    [one, one, one, some, lists, json, bulk, large, cancelled, late, given_up, numbers, tokens, similar,
     refused, too_large, load_and_unload, garbage, new_node].

act(one, Worker, Known) -> compare(Worker, Known, 1, #{format => binary});
act(some, Worker, Known) -> compare(Worker, Known, 1 + rand:uniform(31), #{format => binary});
act(lists, Worker, Known) -> compare(Worker, Known, 8, #{format => list, timings => true});
act(json, Worker, Known) -> compare(Worker, Known, 8, #{format => json, usage => true, fingerprint => true});
act(bulk, Worker, Known) -> compare(Worker, Known, 300, #{format => base64, priority => bulk});
%% More texts than are tokenized at once: one in ten, for it fills much of the queue.
act(large, Worker, _) ->
    case rand:uniform(10) of
        1 ->
            Texts = [integer_to_binary(rand:uniform(1000000)) || _ <- lists:seq(1, 5000)],
            case ask(Worker, encode, [Texts, default, #{format => binary, priority => bulk}]) of
                #{embeddings := Vectors} -> ?assertEqual(5000, length(Vectors));
                overloaded -> ok
            end;
        _ ->
            ok
    end;
act(cancelled, Worker, _) ->
    Request = erpc:send_request(e2e:node_of(Worker), ml_worker, encode, [fresh(50), default]),
    _ = erpc:wait_response(Request, rand:uniform(5)),
    ok;
act(late, Worker, _) ->
    either([deadline_exceeded, overloaded, ok], ask(Worker, encode, [fresh(20), default, #{timeout_ms => 1}]));
act(given_up, Worker, _) ->
    {Pid, Monitor} = spawn_monitor(fun() -> ask(Worker, encode, [fresh(20), default]) end),
    timer:sleep(rand:uniform(5)),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end;
act(numbers, Worker, _) ->
    [either([ok, overloaded], ask(Worker, F, [])) || F <- [info, metrics, models, health, get_load]],
    ok;
act(tokens, Worker, Known) ->
    {Text, _} = any(Known),
    either([ok, overloaded], ask(Worker, embed_tokens, [[Text], default])),
    either([ok, overloaded], ask(Worker, tokenize, [[Text], default]));
act(similar, Worker, Known) ->
    {Text, _} = any(Known),
    either([ok, overloaded], ask(Worker, similarity, [Text, [Text, <<"another">>], default]));
act(refused, Worker, _) ->
    either([unknown_model], ask(Worker, encode, [[<<"a">>], <<"no/such">>])),
    either([bad_argument], ask(Worker, encode, [[<<255>>], default])),
    either([bad_argument], ask(Worker, encode, [[<<"a">>], default, #{no_such => 1}])),
    either([undef], ask(Worker, no_such, []));
act(too_large, Worker, _) ->
    either([too_large], ask(Worker, encode, [[binary:copy(<<"a">>, ?MIB + 1)], default]));
act(load_and_unload, Worker, _) ->
    either([ok, overloaded], ask(Worker, load_model, [?ALLOWED])),
    either([ok, overloaded, unknown_model], ask(Worker, encode, [[<<"a">>], ?ALLOWED])),
    either([ok, overloaded, unknown_model, bad_argument], ask(Worker, unload_model, [?ALLOWED]));
act(garbage, Worker, _) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, port_of(Worker), [binary, {active, false}]),
    _ = gen_tcp:send(Socket, rand:bytes(rand:uniform(2000))),
    gen_tcp:close(Socket);
%% One in ten, for starting a node takes a second of CPU.
act(new_node, Worker, Known) ->
    case rand:uniform(10) of
        1 ->
            {_, Node} = Peer = e2e:start_peer(soak),
            {Text, Vector} = any(Known),
            case rpc:call(Node, rpc, call, [e2e:node_of(Worker), ml_worker, encode, [[Text], default, #{format => binary}]]) of
                #{embeddings := [Vector]} -> ok;
                {badrpc, {'EXIT', {{overloaded, _}, _}}} -> ok
            end,
            e2e:stop_peer(Peer);
        _ ->
            ok
    end.

port_of(Worker) ->
    [Name, _] = string:split(atom_to_list(e2e:node_of(Worker)), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, {127, 0, 0, 1}),
    Port.

any(Known) -> element(rand:uniform(tuple_size(Known)), Known).

fresh(Count) -> [binary:encode_hex(rand:bytes(1 + rand:uniform(20))) || _ <- lists:seq(1, Count)].

%% The vectors of known texts are those of the beginning, byte for byte, whatever else is computed.
compare(Worker, Known, Count, #{format := Format} = Opts) ->
    Chosen = [any(Known) || _ <- lists:seq(1, Count)],
    case ask(Worker, encode, [[Text || {Text, _} <- Chosen], default, Opts]) of
        #{embeddings := Vectors} -> ?assertEqual([Vector || {_, Vector} <- Chosen], [packed(Format, V) || V <- Vectors]);
        overloaded -> ok
    end,
    ok.

packed(binary, Vector) -> Vector;
packed(base64, Vector) -> base64:decode(Vector);
packed(json, Vector) -> packed(list, jiffy:decode(Vector));
packed(list, Vector) -> << <<Element:32/float-little>> || Element <- Vector >>.

%% The answer, or the name of the failure.
ask(Worker, Function, Arguments) ->
    case rpc:call(e2e:node_of(Worker), ml_worker, Function, Arguments) of
        {badrpc, {'EXIT', {Reason, _}}} when is_tuple(Reason) -> element(1, Reason);
        {badrpc, {'EXIT', {Reason, _}}} -> Reason;
        Answer -> Answer
    end.

either(Allowed, Failure) when is_atom(Failure) -> ?assert(lists:member(Failure, Allowed), {Failure, Allowed});
either(Allowed, _Answer) -> ?assert(lists:member(ok, Allowed)).

%% ---- A great many calls --------------------------------------------------------------------------

%% Nine of ten ask for one of a thousand texts, the tenth for a new one, so that the cache, full soon,
%% answers most calls and throws out all the time.
many_calls(_Config) ->
    Models = filename:join(e2e:root(), "models"),
    with_worker(["--models-root", Models, "--cache-bytes", "8000000"], fun(Worker) ->
        Samples = [sample(Worker, Tenth) || Tenth <- lists:seq(1, 10)],
        ct:pal("~b calls, resident MiB: ~w", [setting("ML_WORKER_SOAK_CALLS", 100000), [Bytes div ?MIB || Bytes <- Samples]]),
        %% In the first half the cache fills, and oneDNN's own, which keeps code for each size of batch:
        %% some 30,000 calls long.
        ?assert(lists:last(Samples) < lists:nth(5, Samples) + 32 * ?MIB)
    end).

%% A tenth of the calls; then the worker's resident memory.
sample(Worker, Tenth) ->
    Each = setting("ML_WORKER_SOAK_CALLS", 100000) div 10 div ?CALLERS,
    Callers = [spawn_monitor(fun() -> one_by_one(Worker, Tenth * ?CALLERS + Caller, Each) end)
               || Caller <- lists:seq(1, ?CALLERS)],
    [receive {'DOWN', Monitor, process, Pid, Why} -> ?assertEqual(normal, Why) end || {Pid, Monitor} <- Callers],
    resident(Worker).

one_by_one(_, _, 0) -> ok;
one_by_one(Worker, Caller, Left) ->
    Text = case Left rem 10 of
        0 -> io_lib:format("text ~b of caller ~b", [Left, Caller]);
        _ -> io_lib:format("known text ~b", [rand:uniform(1000)])
    end,
    #{embeddings := [<<_:1536/binary>>]} =
        ask(Worker, encode, [[unicode:characters_to_binary(Text)], default, #{format => binary}]),
    one_by_one(Worker, Caller, Left - 1).

%% In bytes.
resident(Worker) ->
    {ok, Pages} = file:read_file(lists:concat(["/proc/", e2e:os_pid(Worker), "/statm"])),
    binary_to_integer(lists:nth(2, binary:split(Pages, <<" ">>, [global]))) * 4096.
