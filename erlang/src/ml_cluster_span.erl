%% @doc A call as a whole, and each attempt of it: counted, timed and told to the handler of events.
-module(ml_cluster_span).

-export([call/3, attempt/4]).

-type result() :: {ok, term(), node() | [node()]} | {error, term()}.

%% What is counted apart; everything else is `other', so that labels stay few.
-define(FUNCTIONS, [encode, predict, tokenize, similarity, embed_tokens]).
-define(REASONS, [
    bad_argument,
    deadline_exceeded,
    draining,
    internal,
    model_failed,
    no_workers,
    overloaded,
    too_large,
    too_long,
    undef,
    unhealthy,
    unknown_model,
    worker_failed,
    worker_lost
]).

%% @doc Makes a call; `Fun' gives its value with the nodes that took part.
-spec call(atom(), map(), fun(() -> result())) -> {ok, term()} | {error, term()}.
call(Function, Metadata, Fun) ->
    case ml_cluster_config:is_installed() of
        true -> span(Function, Metadata#{function => Function}, Fun);
        false -> {error, not_started}
    end.

span(Function, Metadata, Fun) ->
    Began = erlang:monotonic_time(),
    ok = ml_cluster_event:emit([call, start], fun() ->
        {#{monotonic_time => Began, system_time => erlang:system_time()}, Metadata}
    end),
    try Fun() of
        Result ->
            Took = erlang:monotonic_time() - Began,
            ok = counted(Result),
            Labels = [{function, known(Function)}, {outcome, outcome(Result)}],
            ok = ml_cluster_histogram:observe(call, Labels, micros(Took)),
            ok = ended(Result, Took, Metadata),
            without_nodes(Result)
    catch
        Class:Reason:Stack ->
            Took = erlang:monotonic_time() - Began,
            ok = crashed(Class, Reason, Stack, Took, Metadata),
            erlang:raise(Class, Reason, Stack)
    end.

%% A crash of ours in one of the call's processes is an answer to the caller all the same.
ended({error, {internal, Crash}}, Took, Metadata) ->
    crashed(exit, Crash, [], Took, Metadata);
ended(Result, Took, Metadata) ->
    ml_cluster_event:emit([call, stop], fun() ->
        {measured(Result, Took), maps:merge(Metadata, told(Result))}
    end).

crashed(Class, Reason, Stack, Took, Metadata) ->
    ml_cluster_event:emit([call, exception], fun() ->
        {#{duration => Took}, Metadata#{kind => Class, reason => Reason, stacktrace => Stack}}
    end).

measured({ok, #{cached := Cached, embeddings := Vectors}, _}, Took) when is_list(Vectors) ->
    #{duration => Took, texts => length(Vectors), cached => Cached};
measured(_, Took) ->
    #{duration => Took}.

told({ok, _, Nodes}) -> #{outcome => ok, nodes => list(Nodes)};
told({error, Reason}) -> #{outcome => error, nodes => [], reason => Reason}.

without_nodes({ok, #{embeddings := _} = Reply, Nodes}) when is_list(Nodes) ->
    {ok, Reply#{nodes => Nodes}};
without_nodes({ok, Value, _}) ->
    {ok, Value};
without_nodes({error, _} = Error) ->
    Error.

%% @doc One worker was asked, and this is what came of it after so long, in native units.
-spec attempt(node(), atom(), integer(), {ok, term()} | {error, term()}) -> ok.
attempt(Node, Function, Took, Result) ->
    Outcome = ml_cluster_failure:outcome(Result),
    %% What ends after its worker was removed would bring that worker's series back.
    IsKnown = fun() -> ml_cluster_table:is_known(Node) end,
    Labels = [{worker, Node}, {outcome, Outcome}],
    ok = ml_cluster_histogram:observe(worker_request, Labels, micros(Took), IsKnown),
    ml_cluster_event:emit([attempt, stop], fun() ->
        About = #{node => Node, function => Function, outcome => Outcome},
        {#{duration => Took}, maps:merge(About, why(Result))}
    end).

why({ok, _}) -> #{};
why({error, Reason}) -> #{reason => Reason}.

%% ---- Counting ----

counted({ok, #{cached := Cached, embeddings := Vectors}, Nodes}) when is_list(Nodes) ->
    ok = served(Nodes),
    ok = ml_cluster_metrics:count(texts, length(Vectors)),
    ml_cluster_metrics:count(cached, Cached);
counted({ok, _, Node}) ->
    served([Node]);
counted({error, _}) ->
    ok = ml_cluster_metrics:count(total),
    ml_cluster_metrics:count(errors).

served(Nodes) ->
    ok = ml_cluster_metrics:count(total),
    case lists:all(fun ml_cluster_table:is_local/1, Nodes) of
        true -> ml_cluster_metrics:count(local_fallback);
        false -> ml_cluster_metrics:count(distributed)
    end.

micros(Took) -> erlang:convert_time_unit(Took, native, microsecond).

known(Function) -> one_of(Function, ?FUNCTIONS).

outcome({ok, _, _}) -> ok;
outcome({error, Reason}) when is_tuple(Reason) -> one_of(element(1, Reason), ?REASONS);
outcome({error, Reason}) -> one_of(Reason, ?REASONS).

one_of(Name, Names) ->
    case lists:member(Name, Names) of
        true -> Name;
        false -> other
    end.

list(Nodes) when is_list(Nodes) -> Nodes;
list(Node) -> [Node].
