%% @doc Runs the pieces of a call on the workers, a bounded number at a time, and puts the answers
%% together in order. One piece is the common case and needs no process but its own.
%%
%% One answer never mixes two models, nor two kinds of numerics unless that is configured: when the
%% workers that answered differ in their fingerprints, what is not of the most common one is computed
%% again on the workers that are.
-module(ml_cluster_fanout).

-export([run/3]).

%% `window': pieces in flight. `mix': may the numerics of one answer differ?
-type how() :: #{window := pos_integer(), mix := boolean()}.
-type run() :: #{
    window := pos_integer(),
    mix := boolean(),
    caller := reference(),
    rounds := non_neg_integer()
}.
-type parts() :: [ml_cluster_kinds:part()].

%% How often parts of different models are computed again.
-define(ROUNDS, 8).

%% @doc The joined answer of encode/3 and the nodes that took part, in the order of their pieces.
-spec run([ml_cluster_split:piece(), ...], ml_cluster_call:job(), how()) ->
    {ok, map(), [node()]} | {error, term()}.
run([#{texts := Texts} = Piece], Job, _) ->
    case ml_cluster_call:run(job_of(Piece, Job)) of
        {ok, Reply, Node} -> alone(is_answer(Reply, length(Texts)), Reply, Node);
        {error, _} = Error -> Error
    end;
run(Pieces, #{wishes := Wishes, watch := Watch} = Job, How) ->
    Wary = Job#{wishes := Wishes#{fingerprint => true}},
    Run = fun(Caller) -> gather(Pieces, Wary, How#{caller => Caller, rounds => ?ROUNDS}) end,
    unpacked(asked_for(maps:is_key(fingerprint, Wishes), in_process(Run, Watch))).

alone(true, #{cached := _} = Reply, Node) -> {ok, Reply, [Node]};
alone(true, Reply, Node) -> {ok, Reply#{cached => 0}, [Node]};
alone(false, Reply, Node) -> bad_reply(Reply, Node).

%% Any node may call itself a worker: what it says is looked at before users see it.
is_answer(#{embeddings := Vectors} = Reply, Count) when length(Vectors) =:= Count ->
    Cached = maps:get(cached, Reply, 0),
    is_integer(Cached) andalso Cached >= 0 andalso are_vectors(Vectors);
is_answer(_, _) ->
    false.

%% lists:all/2 takes nine times as long: 2.4 µs more for 256.
are_vectors([Vector | Rest]) -> is_vector(Vector) andalso are_vectors(Rest);
are_vectors([]) -> true.

%% Text or bytes of one of the formats, or numbers.
is_vector(Vector) when is_binary(Vector) -> true;
is_vector([Number | _] = Vector) when is_number(Number), length(Vector) > 0 -> true;
is_vector(_) -> false.

bad_reply(Reply, Node) -> {error, {worker_failed, Node, {bad_reply, shape_of(Reply)}}}.

asked_for(false, {ok, Reply, Nodes}) -> {ok, maps:without([model_id, numerics], Reply), Nodes};
asked_for(_, Result) -> Result.

%% Here in the caller's process, so that the whole answer is made where it stays.
unpacked({ok, #{embeddings := Parts} = Reply, Nodes}) ->
    {Indices, Vectors} = lists:unzip(Parts),
    {ok, Reply#{embeddings := ml_cluster_split:join(Indices, ml_cluster_packed:unpack(Vectors))}, Nodes};
unpacked({error, _} = Error) ->
    Error.

%% Several answers come as messages: they stay out of the caller's mailbox, and when the caller
%% ends, all of its pieces do.
in_process(Fun, Watch) ->
    Caller = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Monitor = erlang:monitor(process, Caller),
        exit({answer, ml_cluster_call:guarded(fun() -> Fun(Monitor) end)})
    end),
    answer(Pid, Ref, Watch).

answer(Pid, Ref, none) ->
    receive
        {'DOWN', Ref, process, Pid, Exit} -> ml_cluster_call:answer(Exit)
    end;
answer(Pid, Ref, Watch) ->
    Match = fun(Message) -> answer_in(Message, Ref) end,
    case ml_cluster_watch:wait(Match, Watch, infinity) of
        {got, Answer} ->
            Answer;
        gone ->
            ok = ml_cluster_watch:cancel(Pid, Ref),
            {error, cancelled}
    end.

answer_in({'DOWN', Ref, process, _, Exit}, Ref) -> ml_cluster_call:answer(Exit);
answer_in(_, _) -> none.

gather(Pieces, Job, Run) ->
    case collect(Pieces, Job, Run) of
        {ok, Parts} -> agree(Parts, Job, Run, []);
        {error, _} = Error -> Error
    end.

%% ---- A window of pieces ----

-spec collect([ml_cluster_split:piece()], ml_cluster_call:job(), run()) ->
    {ok, parts()} | {error, term()}.
collect(Pieces, Job, Run) -> collect(Pieces, Job, Run, #{}, []).

collect([], _, _, Running, Parts) when map_size(Running) =:= 0 ->
    {ok, Parts};
collect([Piece | Rest], Job, #{window := Window} = Run, Running, Parts) when
    map_size(Running) < Window
->
    Count = length(maps:get(texts, Piece)),
    {Pid, Ref} = ml_cluster_call:start(job_of(Piece, Job), fun(Reply) -> packed(Count, Reply) end),
    collect(Rest, Job, Run, Running#{Ref => {Pid, Piece}}, Parts);
collect(Waiting, Job, Run, Running, Parts) ->
    case next(Running, Job, Run) of
        {ok, Ref, Part} ->
            collect(Waiting, Job, Run, maps:remove(Ref, Running), [Part | Parts]);
        {error, _} = Error ->
            ok = maps:foreach(fun(Ref, {Pid, _}) -> ml_cluster_watch:cancel(Pid, Ref) end, Running),
            Error
    end.

%% In the call's own process, so that the pieces are looked at side by side.
packed(Count, Reply) ->
    case is_answer(Reply, Count) of
        true -> maps:update_with(embeddings, fun ml_cluster_packed:pack/1, Reply);
        false -> {wrong, Reply}
    end.

next(Running, #{deadline := Deadline}, #{caller := Caller}) ->
    receive
        {'DOWN', Caller, process, _, _} ->
            exit(caller_gone);
        cancel ->
            exit(caller_gone);
        {'DOWN', Ref, process, _, Exit} ->
            {_, Piece} = maps:get(Ref, Running),
            part(Ref, Piece, ml_cluster_call:answer(Exit))
    after max(0, Deadline - erlang:monotonic_time(millisecond)) ->
        {error, deadline_exceeded}
    end.

part(_, _, {ok, {wrong, Reply}, Node}) ->
    bad_reply(Reply, Node);
part(Ref, Piece, {ok, Reply, Node}) ->
    {ok, Ref, {Piece, Reply, Node}};
part(_, Piece, {error, Reason}) ->
    {error, in_whole(Reason, Piece)}.

%% The worker counts a text's place in its piece; the caller in the call.
in_whole({too_long, Index, Tokens, Limit}, #{indices := Indices}) ->
    {too_long, in_call(Index, Indices), Tokens, Limit};
in_whole({bad_argument, texts, What}, #{indices := Indices}) when is_binary(What) ->
    {bad_argument, texts, placed(What, Indices)};
in_whole(Reason, _) ->
    Reason.

%% What is no place in the piece stays as it is.
in_call(Index, Indices) when is_integer(Index), Index >= 1, Index =< length(Indices) ->
    lists:nth(Index, Indices);
in_call(Index, _) ->
    Index.

placed(What, Indices) ->
    case re:run(What, "^(.* at position )([0-9]{1,9})(.*)\\z", [{capture, all_but_first, binary}, dotall]) of
        {match, [Before, Place, After]} ->
            Index = in_call(binary_to_integer(Place), Indices),
            <<Before/binary, (integer_to_binary(Index))/binary, After/binary>>;
        nomatch ->
            What
    end.

job_of(#{texts := Texts} = Piece, #{args := [_ | Args]} = Job) ->
    maps:merge(Job#{args := [Texts | Args]}, maps:with([prefer], Piece)).

%% ---- One answer, one model ----

%% `Barred': kinds whose workers could not compute the rest. With none left everything is computed
%% anew, by whoever is there now.
agree(Parts, Job, #{mix := Mix} = Run, Barred) ->
    case ml_cluster_kinds:plan(Parts, Mix, Barred) of
        agreed -> joined(Parts);
        {recompute, _, _, _, _} = Plan -> recompute(Plan, Parts, Job, Run, Barred);
        none_left -> anew([Piece || {Piece, _, _} <- Parts], Job, Run)
    end.

recompute(_, _, _, #{rounds := 0}, _) ->
    {error, {worker_failed, node(), models_differ}};
recompute({_, Kind, Missing, Nodes, Kept}, Parts, Job, Run, Barred) ->
    case collect(Missing, Job#{only => Nodes}, Run) of
        {ok, Again} ->
            agree(Kept ++ Again, Job, next_round(Run), Barred);
        {error, Reason} = Error ->
            case ml_cluster_failure:verdict(Reason) of
                final -> Error;
                _ -> agree(Parts, Job, next_round(Run), [Kind | Barred])
            end
    end.

anew(Pieces, Job, Run) -> gather([maps:remove(prefer, P) || P <- Pieces], Job, next_round(Run)).

%% Workers may come back with another model between any two rounds.
next_round(#{rounds := Rounds} = Run) -> Run#{rounds := max(0, Rounds - 1)}.

%% ---- Joining ----

joined(Parts) ->
    Sorted = lists:sort(fun({A, _, _}, {B, _, _}) -> first(A) =< first(B) end, Parts),
    Replies = [Reply || {_, Reply, _} <- Sorted],
    Joined = (maps:merge(merged(Replies), ml_cluster_kinds:numerics(Replies)))#{
        embeddings := by_indices(embeddings, Sorted),
        cached => lists:sum([maps:get(cached, Reply, 0) || Reply <- Replies])
    },
    {ok, with_tokens(Joined, Sorted), distinct([Node || {_, _, Node} <- Sorted])}.

first(#{indices := []}) -> 0;
first(#{indices := [First | _]}) -> First.

by_indices(Key, Parts) -> [{Indices, maps:get(Key, R)} || {#{indices := Indices}, R, _} <- Parts].

with_tokens(#{tokens := _} = Joined, Parts) ->
    Joined#{tokens := ml_cluster_split:join(by_indices(tokens, Parts))};
with_tokens(Joined, _) -> Joined.

%% Numbers of the pieces (timings) add up; of the rest the pieces say the same.
merged([First | Rest]) -> lists:foldl(fun merged/2, First, Rest).

merged(Reply, Acc) ->
    maps:map(fun(Key, Value) -> sum(Value, maps:get(Key, Reply, Value)) end, Acc).

sum(A, B) when is_number(A), is_number(B) -> A + B;
sum(#{} = A, #{} = B) -> merged(B, A);
sum(A, _) -> A.

distinct(Nodes) ->
    lists:reverse(lists:foldl(fun add_new/2, [], Nodes)).

add_new(Node, Seen) ->
    case lists:member(Node, Seen) of
        true -> Seen;
        false -> [Node | Seen]
    end.

shape_of(#{}) -> map;
shape_of(Other) when is_list(Other) -> list;
shape_of(_) -> other.
