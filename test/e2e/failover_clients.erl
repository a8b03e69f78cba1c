%% @doc Callers of ml_cluster:encode/3, to run in the front's node: each asks for some of its own
%% texts again and again, compares what it gets with the reference, and counts. No two ask for the
%% same text, so that what a worker computes can be held against what its callers were given.
-module(failover_clients).

-export([start/1, rounds/1, finish/0]).

%% Vectors of length 1, float32 on the CPU (SPEC: equal to sentence-transformers).
-define(TOLERANCE, 1.0e-5).
-define(TIMEOUT_MS, 120000).

%% @doc Starts a client per list of {Text, Vector}.
start(Slices) ->
    Done = counters:new(length(Slices), []),
    Stop = atomics:new(1, []),
    Clients = [spawn(fun() -> client(Slice, #{number => I, done => Done, stop => Stop}) end)
               || {I, Slice} <- lists:enumerate(Slices)],
    persistent_term:put(?MODULE, #{clients => Clients, done => Done, stop => Stop}).

%% @doc Returns when every client has had Count answers to calls that it began after this one.
rounds(Count) ->
    #{done := Done, clients := Clients} = persistent_term:get(?MODULE),
    Numbers = lists:seq(1, length(Clients)),
    %% One more: the call that is under way began before.
    Goals = [{I, counters:get(Done, I) + 1 + Count} || I <- Numbers],
    await(fun() -> lists:all(fun({I, Goal}) -> counters:get(Done, I) >= Goal end, Goals) end).

await(Condition) ->
    Condition() orelse begin timer:sleep(20), await(Condition) end,
    ok.

%% @doc Ends the clients; what they counted together. Their mailboxes are looked into last.
finish() ->
    #{clients := Clients, stop := Stop} = persistent_term:get(?MODULE),
    ok = atomics:put(Stop, 1, 1),
    Counts = [report(Client) || Client <- Clients],
    true = persistent_term:erase(?MODULE),
    lists:foldl(fun added/2, nothing(), Counts).

report(Client) ->
    Ref = monitor(process, Client),
    Client ! {report, self()},
    receive
        {Client, Counts} -> demonitor(Ref, [flush]), Counts;
        {'DOWN', Ref, process, _, Reason} -> (nothing())#{failed := [{client_ended, Reason}]}
    end.

nothing() -> #{calls => 0, texts => #{}, failed => [], wrong => [], late => []}.

added(A, B) -> maps:map(fun(Key, Value) -> sum(Value, maps:get(Key, B)) end, A).

sum(A, B) when is_integer(A) -> A + B;
sum(A, B) when is_list(A) -> A ++ B;
sum(A, B) -> maps:merge_with(fun(_, X, Y) -> X + Y end, A, B).

client(Slice, State) -> client(Slice, nothing(), State).

client(Slice, Counts, #{number := I, done := Done, stop := Stop} = State) ->
    case atomics:get(Stop, 1) of
        0 ->
            Asked = some(Slice),
            Answer = ml_cluster:encode([Text || {Text, _} <- Asked], default, #{timeout_ms => ?TIMEOUT_MS}),
            Judged = judged(Answer, Asked, Counts),
            ok = counters:add(Done, I, 1),
            client(Slice, Judged, State);
        1 ->
            receive
                {report, From} ->
                    {messages, Late} = process_info(self(), messages),
                    From ! {self(), Counts#{late := Late}}
            end
    end.

%% From one to all, in any order.
some(Slice) ->
    Shuffled = [Item || {_, Item} <- lists:sort([{rand:uniform(), Item} || Item <- Slice])],
    lists:sublist(Shuffled, rand:uniform(length(Slice))).

judged({ok, #{embeddings := Vectors, cached := 0, nodes := Nodes}}, Asked, #{calls := Calls, texts := Texts} = Counts)
  when length(Vectors) =:= length(Asked) ->
    Wrong = [{Nodes, Text} || {{Text, Expected}, Vector} <- lists:zip(Asked, Vectors),
                              not is_near(Expected, Vector)],
    Given = maps:update_with(Nodes, fun(N) -> N + length(Asked) end, length(Asked), Texts),
    Counts#{calls := Calls + 1, texts := Given, wrong := Wrong ++ maps:get(wrong, Counts)};
judged({ok, Reply}, _, #{wrong := Wrong} = Counts) ->
    Counts#{wrong := [maps:remove(embeddings, Reply) | Wrong]};
judged({error, Reason}, _, #{failed := Failed} = Counts) ->
    Counts#{failed := [Reason | Failed]}.

is_near(Expected, Vector) when length(Expected) =:= length(Vector) ->
    lists:all(fun({A, B}) -> abs(A - B) =< ?TOLERANCE end, lists:zip(Expected, Vector));
is_near(_, _) ->
    false.
