%% @doc HTTP requests to responses. Knows no server: an adapter gives the head of a request to
%% admit/1, reads the body that is asked for, and gives both to handle/1. So whatever server hosts
%% us (mochiweb, Cowboy under Hornbeam), limits, keys, routes and errors are the same.
-module(ml_cluster_http).

-export([routes/0, label/1, admit/1, handle/1, refuse/2]).
-export_type([request/0, response/0]).

%% Header names are in lower case. `body' is empty in the head that admit/1 sees.
-type request() :: #{
    method := binary(),
    path := binary(),
    headers := #{binary() => binary()},
    body := binary(),
    _ => _
}.
-type response() :: #{
    status := 100..599,
    headers := [{binary(), iodata()}],
    body := iodata()
}.

%% @doc The paths there are, as labels of the metrics.
-spec routes() -> [binary()].
routes() -> maps:keys(table()).

%% @doc The label of a path: bounded, whatever clients ask for.
-spec label(binary()) -> binary().
label(Path) ->
    case is_map_key(Path, table()) of
        true -> Path;
        false -> <<"other">>
    end.

%% Path to its methods and the dialect of its errors.
table() ->
    #{
        <<"/infer">> => {ours, #{<<"POST">> => fun ml_cluster_http_infer:infer/1}},
        <<"/infer/parallel">> => {ours, #{<<"POST">> => fun ml_cluster_http_infer:parallel/1}},
        <<"/cluster">> => {ours, #{<<"GET">> => fun ml_cluster_http_status:cluster/1}},
        <<"/metrics">> => {ours, #{<<"GET">> => fun ml_cluster_http_status:metrics/1}},
        <<"/health">> => {ours, #{<<"GET">> => fun ml_cluster_http_status:health/1}},
        <<"/v1/embeddings">> =>
            {openai, #{<<"POST">> => fun ml_cluster_http_openai:embeddings/1}},
        <<"/v1/models">> => {openai, #{<<"GET">> => fun ml_cluster_http_openai:models/1}}
    }.

%% @doc What to do with a request of which only the head is there: refuse it now, or read a body
%% of at most `limit' bytes within `timeout' milliseconds and go on with handle/1.
-spec admit(request()) ->
    {respond, response()} | {read, #{limit := pos_integer(), timeout := pos_integer()}}.
admit(#{headers := Headers} = Head) ->
    case checked(Head) of
        {ok, _, _} -> sized(ml_cluster_http_body:declared(Headers), Head);
        {error, Reason} -> {respond, refuse(Reason, Head)}
    end.

sized({ok, Length}, Head) ->
    #{body_bytes := Limit, body_timeout_ms := Timeout} = ml_cluster_config:get(limits),
    case Length of
        Bytes when is_integer(Bytes), Bytes > Limit ->
            {respond, refuse({too_large, <<"body">>, Bytes, Limit}, Head)};
        _ ->
            {read, #{limit => Limit, timeout => Timeout}}
    end;
sized({error, Reason}, Head) ->
    {respond, refuse(Reason, Head)}.

%% @doc The response to a request with its body. Never raises.
-spec handle(request()) -> response().
handle(Request) ->
    case checked(Request) of
        {ok, Handler, Dialect} -> guarded(Handler, Dialect, Request);
        {error, Reason} -> refuse(Reason, Request)
    end.

guarded(Handler, Dialect, Request) ->
    try
        Handler(Request)
    catch
        throw:{http, Reason} ->
            ml_cluster_http_error:response(Dialect, Reason);
        Class:Reason:Stack ->
            %% The request is not in the log: texts are the users'.
            logger:error("ml_cluster: a handler failed: ~0tp:~0tp ~0tp", [
                Class, Reason, [{M, F, A} || {M, F, A, _} <- Stack, is_integer(A)]
            ]),
            ml_cluster_http_error:response(Dialect, internal)
    end.

%% @doc The response that refuses a request, in the dialect of its path.
-spec refuse(term(), request()) -> response().
refuse(Reason, #{path := Path}) ->
    {Dialect, _} = maps:get(Path, table(), {ours, #{}}),
    ml_cluster_http_error:response(Dialect, Reason).

checked(#{path := Path} = Request) ->
    case table() of
        #{Path := {Dialect, Methods}} -> checked(Dialect, Methods, Request);
        _ -> {error, {not_found, Path}}
    end.

checked(Dialect, Methods, #{method := Method} = Request) ->
    case {handler(Method, Methods), is_allowed(Request)} of
        {error, _} -> {error, {method_not_allowed, maps:keys(Methods)}};
        {_, false} -> {error, unauthorized};
        {Handler, true} -> {ok, Handler, Dialect}
    end.

%% HEAD is GET whose body the adapter leaves out.
handler(<<"HEAD">>, Methods) -> maps:get(<<"GET">>, Methods, error);
handler(Method, Methods) -> maps:get(Method, Methods, error).

%% Who only asks whether we live needs no key.
is_allowed(#{path := <<"/health">>}) ->
    true;
is_allowed(#{headers := Headers}) ->
    Header = maps:get(<<"authorization">>, Headers, undefined),
    ml_cluster_auth:allows(ml_cluster_config:get(api_keys, any), Header).
