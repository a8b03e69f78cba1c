%% @doc The worker through rpc from a BEAM node, for scripts/bench: prints a JSON object a line.
%%
%%   erl -noshell -name … -setcookie … -pa … -s rpc_bench main WORKER TEXTS MODEL DTYPE BULK
%%
%% WORKER: the program. TEXTS: a file of texts, one a line. It starts the worker itself, so that
%% the time to the first answer is measured too.
%%
%%   erl … -s rpc_bench first WORKER MODEL DTYPE
%%
%% measures only that: from the start of the program to the answer of its first call; and
%%
%%   erl … -s rpc_bench callers WORKER TEXTS MODEL DTYPE
%%
%% only 64 callers of one text, and
%%
%%   erl … -s rpc_bench beside WORKER TEXTS MODEL DTYPE BULK
%%
%% only one caller of one text, alone and beside a call of BULK texts (100,000) whose priority is bulk.
-module(rpc_bench).

-export([beside/1, callers/1, first/1, main/1]).

-define(SECONDS, 5).

main([Program, File, Model, Dtype, Bulk]) ->
    Worker = warm(Program, File, Model, Dtype),
    callers(Worker, 1),
    callers(Worker, 64),
    sizes(Worker, [256]),
    Texts = list_to_integer(atom_to_list(Bulk)),
    bulk(Worker, Texts),
    % Fewer are done before that is measured.
    [beside_bulk(Worker, Texts) || Texts >= 100000],
    growth(Worker),
    print("load", rss(Worker)),
    workers(Program, Model, Dtype, Worker),
    halt().

callers([Program, File, Model, Dtype]) ->
    callers(warm(Program, File, Model, Dtype), 64),
    halt().

beside([Program, File, Model, Dtype, Bulk]) ->
    Worker = warm(Program, File, Model, Dtype),
    callers(Worker, 1),
    beside_bulk(Worker, list_to_integer(atom_to_list(Bulk))),
    halt().

first([Program, Model, Dtype]) ->
    started(atom_to_list(Program), atom_to_list(Model), Dtype),
    halt().

%% ---- Workers ------------------------------------------------------------------------------------

warm(Program, File, Model, Dtype) ->
    {ok, Bytes} = file:read_file(atom_to_list(File)),
    % Not in a caller's closure, which a process gets a copy of.
    persistent_term:put(?MODULE, list_to_tuple(binary:split(Bytes, <<"\n">>, [global, trim_all]))),
    Worker = started(atom_to_list(Program), atom_to_list(Model), Dtype),
    _ = call(Worker, some(0, 64)),
    Worker.

started(Program, Model, Dtype) ->
    {Worker, Milliseconds} = start(Program, Model, Dtype, "bench1"),
    print("start", [{first_answer_ms, Milliseconds} | rss(Worker)]),
    Worker.

start(Program, Model, Dtype, Name) ->
    Node = list_to_atom(Name ++ "_" ++ os:getpid() ++ "@127.0.0.1"),
    Begun = now_us(),
    Arguments = [
        "--name", atom_to_list(Node), "--listen", "127.0.0.1", "--stop-with-stdin",
        "--models-root", filename:dirname(Model), "--model", filename:basename(Model),
        "--dtype", atom_to_list(Dtype), "--cache-bytes", "0", "--log-level", "warning"
    ],
    Cookie = [{"ML_WORKER_COOKIE", atom_to_list(erlang:get_cookie())}],
    open_port({spawn_executable, Program}, [{args, Arguments}, {env, Cookie}]),
    await(Node),
    {Node, (now_us() - Begun) div 1000}.

await(Node) ->
    case rpc:call(Node, ml_worker, encode, [[<<"the first answer">>], default]) of
        #{embeddings := [_]} ->
            ok;
        {badrpc, nodedown} ->
            timer:sleep(5),
            await(Node)
    end.

rss(Worker) ->
    #{memory := #{rss_bytes := Bytes}} = rpc:call(Worker, ml_worker, info, []),
    [{rss, Bytes}].

%% ---- What is measured ---------------------------------------------------------------------------

%% Each caller has one text at a time.
callers(Worker, Count) ->
    Until = now_us() + ?SECONDS * 1000000,
    Times = parallel(Count, fun(I) -> one_by_one(Worker, I * 7919, Until, []) end),
    report("callers", Count, 1, lists:append(Times), ?SECONDS * 1.0e6).

one_by_one(Worker, At, Until, Times) ->
    case now_us() < Until of
        true ->
            Time = timed(fun() -> call(Worker, [text(At)]) end),
            one_by_one(Worker, At + 1, Until, [Time | Times]);
        false ->
            Times
    end.

%% One caller, one call of that many texts after the other.
sizes(Worker, Sizes) ->
    lists:foreach(
        fun(Size) ->
            Times = repeat(
                fun(I) -> call(Worker, some(I * Size, Size)) end, ?SECONDS * 500000
            ),
            report("size", 1, Size, Times, lists:sum(Times))
        end,
        Sizes
    ).

bulk(Worker, Count) ->
    Time = timed(fun() ->
        #{embeddings := All} = rpc:call(Worker, ml_worker, encode, [
            some(0, Count), default, #{format => binary}
        ]),
        Count = length(All)
    end),
    report("bulk", 1, Count, [Time], Time).

%% One text at a time while the other call is under way, and how long one of that call's batches
%% takes. The worker computes as many batches at the same time as there are cores.
beside_bulk(Worker, Count) ->
    Caller = spawn(fun() ->
        rpc:call(Worker, ml_worker, encode, [
            some(0, Count), default, #{format => binary, priority => bulk}
        ])
    end),
    timer:sleep(?SECONDS * 1000),
    Before = batches(Worker),
    Begun = now_us(),
    Times = one_by_one(Worker, 7919, Begun + 12 * ?SECONDS * 1000000, []),
    Took = now_us() - Begun,
    Batches = batches(Worker) - Before - length(Times),
    true = is_process_alive(Caller),
    % The call ends with its caller.
    exit(Caller, kill),
    report("beside_bulk", 1, 1, Times, Took),
    Lanes = erlang:system_info(logical_processors_available),
    print("batch", [{us, Took * Lanes div Batches}]).

batches(Worker) ->
    #{histograms := #{batch_texts := #{count := Count}}} = rpc:call(Worker, ml_worker, metrics, []),
    Count.

growth(Worker) ->
    sizes(Worker, [1, 4, 16, 64, 1024, 4096, 16384]),
    [lengths(Worker, Words) || Words <- [1, 6, 30, 126, 254]],
    [callers(Worker, Count) || Count <- [4, 16, 256, 1024]].

%% 16 texts of Words + 2 tokens each.
lengths(Worker, Words) ->
    Text = fun(I) ->
        Chosen = [element(1 + (I + W) rem 5, {"he ", "was ", "in ", "the ", "and "})
                  || W <- lists:seq(1, Words)],
        unicode:characters_to_binary(Chosen)
    end,
    Times = repeat(fun(I) -> call(Worker, [Text(I * 16 + J) || J <- lists:seq(1, 16)]) end, 1000000),
    report("length", Words + 2, 16, Times, lists:sum(Times)).

workers(Program, Model, Dtype, First) ->
    More = [
        element(1, start(atom_to_list(Program), atom_to_list(Model), Dtype, Name))
     || Name <- ["bench2", "bench3", "bench4"]
    ],
    lists:foreach(
        fun(Count) ->
            Used = list_to_tuple(lists:sublist([First | More], Count)),
            Until = now_us() + ?SECONDS * 1000000,
            Times = parallel(64, fun(I) ->
                one_by_one(element(1 + I rem Count, Used), I * 7919, Until, [])
            end),
            report("workers", Count, 1, lists:append(Times), ?SECONDS * 1.0e6)
        end,
        [1, 2, 4]
    ).

%% ---- Helpers ------------------------------------------------------------------------------------

call(Worker, Texts) ->
    #{embeddings := Vectors} = rpc:call(Worker, ml_worker, encode, [Texts, default, #{format => binary}]),
    Vectors.

text(I) ->
    Texts = persistent_term:get(?MODULE),
    element(1 + I rem tuple_size(Texts), Texts).

some(From, Count) -> [text(From + I) || I <- lists:seq(1, Count)].

now_us() -> erlang:monotonic_time(microsecond).

timed(Fun) ->
    Begun = now_us(),
    _ = Fun(),
    now_us() - Begun.

repeat(Fun, Microseconds) -> repeat(Fun, now_us() + Microseconds, 0, []).

repeat(Fun, Until, I, Times) ->
    Taken = [timed(fun() -> Fun(I) end) | Times],
    case now_us() < Until of
        true -> repeat(Fun, Until, I + 1, Taken);
        false -> Taken
    end.

parallel(Count, Fun) ->
    Started = [spawn_monitor(fun() -> exit({done, Fun(I)}) end) || I <- lists:seq(1, Count)],
    [
        receive
            {'DOWN', Monitor, process, Pid, {done, Result}} -> Result
        end
     || {Pid, Monitor} <- Started
    ].

report(What, Count, Size, Times, Took) ->
    Sorted = list_to_tuple(lists:sort(Times)),
    At = fun(Share) -> element(max(1, ceil(Share * tuple_size(Sorted))), Sorted) end,
    print(What, [
        {count, Count},
        {size, Size},
        {calls, tuple_size(Sorted)},
        {texts_per_second, round(tuple_size(Sorted) * Size * 1.0e6 / Took)},
        {p50_us, At(0.5)},
        {p99_us, At(0.99)}
    ]).

print(What, Pairs) ->
    Fields = [io_lib:format(", \"~s\": ~p", [Key, Value]) || {Key, Value} <- Pairs],
    io:format("{\"what\": \"~s\"~s}~n", [What, Fields]).
