%% @doc What a call costs, beside the same function on a plain Erlang node: run by
%% scripts/bench-distribution, which compiles this for three nodes: the caller, the plain node and,
%% as ml_worker, what the plain node answers with.
-module(dist_bench).

-export([main/1, row/2]).

-define(CALLS, 20000).
-define(WARM_UP, 2000).
-define(ROUNDS, 20).
-define(LARGE_CALLS, 10).

main([Worker, Plain]) ->
    Nodes = [{"worker", list_to_atom(Worker)}, {"BEAM", list_to_atom(Plain)}],
    [pong = net_adm:ping(Node) || {_, Node} <- Nodes],
    io:format("~-44s ~12s ~12s~n", ["", "worker", "BEAM"]),
    [small(Nodes, Callers) || Callers <- [1, 64]],
    [large(Nodes, Name, Format) || {Name, Format} <- [{"binaries", binary}, {"float lists", list}]],
    in_flight(Nodes),
    [row([Name, " us"], Values) || {Name, Values} <- in_flight:rows([Node || {_, Node} <- Nodes])],
    halt(0).

row(Name, Values) -> io:format("~-44s ~12s ~12s~n", [Name | Values]).

%% ---- Calls without model work --------------------------------------------------------------------

small(Nodes, Callers) ->
    _ = [round_trips(Node, Callers, ?WARM_UP) || {_, Node} <- Nodes],
    % In turn, so that a slow moment of the machine strikes both.
    Rounds = [[round_trips(Node, Callers, ?CALLS div ?ROUNDS) || {_, Node} <- Nodes]
              || _ <- lists:seq(1, ?ROUNDS)],
    Both = [lists:append(Times) || Times <- transpose([[T || {T, _} <- Round] || Round <- Rounds])],
    Walls = [lists:sum(Ws) || Ws <- transpose([[W || {_, W} <- Round] || Round <- Rounds])],
    Name = io_lib:format("get_load, ~b caller~s, ", [Callers, [$s || Callers > 1]]),
    row([Name, "round trips/s"], [integer_to_list(round(length(Times) * 1.0e9 / Wall))
                                  || {Times, Wall} <- lists:zip(Both, Walls)]),
    [row([Name, Label, " us"], [microseconds(percentile(Times, P)) || Times <- Both])
     || {Label, P} <- [{"p50", 0.5}, {"p99", 0.99}]].

%% The time of each call, and of all.
round_trips(Node, Callers, Calls) ->
    Self = self(),
    Each = Calls div Callers,
    Started = now_ns(),
    Pids = [spawn_link(fun() -> Self ! {self(), times(Node, Each)} end) || _ <- lists:seq(1, Callers)],
    Times = lists:append([receive {Pid, T} -> T end || Pid <- Pids]),
    {Times, now_ns() - Started}.

times(Node, Calls) -> [time_of(fun() -> erpc:call(Node, ml_worker, get_load, []) end) || _ <- lists:seq(1, Calls)].

time_of(Fun) ->
    Started = now_ns(),
    _ = Fun(),
    now_ns() - Started.

%% ---- Large replies -------------------------------------------------------------------------------

large(Nodes, Name, Format) ->
    Args = large_args(Format, 100),
    Bytes = [byte_size(term_to_binary(erpc:call(Node, ml_worker, encode, Args, infinity))) || {_, Node} <- Nodes],
    Rounds = [[large_time(Node, Args) || {_, Node} <- Nodes] || _ <- lists:seq(1, ?LARGE_CALLS)],
    row(["100 MB as ", Name, ", MB/s"],
        [integer_to_list(round(B * 1.0e3 / lists:min(Times))) || {B, Times} <- lists:zip(Bytes, transpose(Rounds))]).

%% In a process of its own, whose heap ends with it.
large_time(Node, Args) ->
    Self = self(),
    Pid = spawn_opt(fun() ->
        Self ! {self(), time_of(fun() -> erpc:call(Node, ml_worker, encode, Args, infinity) end)}
    end, [link, {min_heap_size, 1000}]),
    receive {Pid, Time} -> Time end.

%% One text, again and again: the cache has it, the reply has its vector as often as it was asked for.
large_args(Format, Megabytes) ->
    PerText = case Format of binary -> 1541; list -> 384 * 9 + 6 end,
    Count = Megabytes * 1000000 div PerText,
    [lists:duplicate(Count, <<"the same text">>), default, #{format => Format}].

%% A small call while 50 MB are on their way to us on the same connection, and our node decodes them.
in_flight(Nodes) ->
    Args = large_args(binary, 50),
    Rows = [begin
        Alone = times(Node, 500),
        {During, _} = during(Node, Args),
        {Alone, During}
     end || {_, Node} <- Nodes],
    row(["get_load alone, p50 us"], [microseconds(percentile(Alone, 0.5)) || {Alone, _} <- Rows]),
    row(["get_load during 50 MB, p50 us"], [microseconds(percentile(D, 0.5)) || {_, D} <- Rows]),
    row(["get_load during 50 MB, p99 us"], [microseconds(percentile(D, 0.99)) || {_, D} <- Rows]).

during(Node, Args) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        [_ = erpc:call(Node, ml_worker, encode, Args, infinity) || _ <- lists:seq(1, ?LARGE_CALLS)],
        Self ! {self(), done}
    end),
    {until_done(Pid, Node, []), ok}.

until_done(Pid, Node, Times) ->
    receive {Pid, done} -> Times
    after 0 -> until_done(Pid, Node, times(Node, 1) ++ Times)
    end.

%% ---- Help ----------------------------------------------------------------------------------------

now_ns() -> erlang:monotonic_time(nanosecond).

percentile(Times, P) ->
    Sorted = lists:sort(Times),
    lists:nth(max(1, round(P * length(Sorted))), Sorted).

microseconds(Nanoseconds) -> integer_to_list(round(Nanoseconds / 1000)).

transpose([[] | _]) -> [];
transpose(Lists) -> [[hd(L) || L <- Lists] | transpose([tl(L) || L <- Lists])].
