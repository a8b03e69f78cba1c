%% @doc HTTP requests to responses. Knows no server: {@link ml_cluster_http_adapter} says what one
%% must do. So whatever server hosts us (mochiweb, Cowboy under Hornbeam), limits, keys, routes and
%% errors are the same.
-module(ml_cluster_http).

-export([routes/0, label/1, admit/1, refuse/2, observe/3]).
-export_type([head/0, request/0, response/0, admission/0]).

%% Header names are in lower case; `path' is without the query.
-type head() :: #{
    method := binary(),
    path := binary(),
    headers := #{binary() => binary()},
    _ => _
}.
%% What a handler sees. `trace': what the client calls the request, where it says so.
-type request() :: #{
    method := binary(),
    path := binary(),
    headers := #{binary() => binary()},
    id := binary(),
    body := binary(),
    trace => binary(),
    %% Of the VM's monotonic clock in milliseconds, where the client has set one.
    deadline => integer() | wrong,
    watch => ml_cluster_watch:watch() | none,
    _ => _
}.
-type response() :: #{
    status := 100..599,
    headers := [{binary(), iodata()}],
    body := iodata()
}.
-type admission() ::
    {respond, response()}
    | {read, bounds(), fun((binary(), ml_cluster_watch:watch() | none) -> response())}
    | {stream, fun((ml_cluster_http_adapter:conn()) -> ml_cluster_http_adapter:outcome())}.

%% Bytes of the body, milliseconds to read it, milliseconds until it is answered.
-type bounds() :: #{limit := pos_integer(), timeout := non_neg_integer(), answer := pos_integer()}.

-type handler() ::
    fun((request()) -> response())
    | {stream, fun((request(), ml_cluster_http_adapter:conn()) -> stream_outcome())}.
%% `cut' and `finished' as in {@link ml_cluster_http_adapter}; a refusal is thrown.
-type stream_outcome() :: finished | cut.

%% @doc The paths there are, as labels of the metrics.
-spec routes() -> [binary()].
routes() -> maps:keys(table()).

%% @doc The label of a path: bounded, whatever clients ask for.
-spec label(binary()) -> binary().
label(Path) ->
    Route = route(Path),
    case is_map_key(Route, table()) of
        true -> Route;
        false -> <<"other">>
    end.

route(<<"/v1/models/", _, _/binary>>) -> <<"/v1/models/{model}">>;
route(<<"/ui/", _, _/binary>>) -> <<"/ui/{file}">>;
route(Path) -> Path.

%% Path to its methods and the dialect of its errors.
table() ->
    #{
        <<"/">> => {ours, #{<<"GET">> => fun ml_cluster_http_page:index/1}},
        <<"/ui/{file}">> => {ours, #{<<"GET">> => fun ml_cluster_http_page:file/1}},
        <<"/infer">> => {ours, #{<<"POST">> => fun ml_cluster_http_infer:infer/1}},
        <<"/infer/parallel">> => {ours, #{<<"POST">> => fun ml_cluster_http_infer:parallel/1}},
        <<"/infer/stream">> =>
            {ours, #{<<"POST">> => {stream, fun ml_cluster_http_stream:run/2}}},
        <<"/cluster">> => {ours, #{<<"GET">> => fun ml_cluster_http_status:cluster/1}},
        <<"/metrics">> => {ours, #{<<"GET">> => fun ml_cluster_http_status:metrics/1}},
        <<"/health">> => {tei, #{<<"GET">> => fun ml_cluster_http_status:health/1}},
        <<"/info">> => {tei, #{<<"GET">> => fun ml_cluster_http_tei:info/1}},
        <<"/embed">> => {tei, #{<<"POST">> => fun ml_cluster_http_tei:embed/1}},
        <<"/tokenize">> => {tei, #{<<"POST">> => fun ml_cluster_http_tei:tokenize/1}},
        <<"/openapi.json">> => {ours, #{<<"GET">> => fun ml_cluster_http_openapi:description/1}},
        <<"/v1/embeddings">> =>
            {openai, #{<<"POST">> => fun ml_cluster_http_openai:embeddings/1}},
        <<"/v1/models">> => {openai, #{<<"GET">> => fun ml_cluster_http_openai:models/1}},
        <<"/v1/models/{model}">> => {openai, #{<<"GET">> => fun ml_cluster_http_openai:model/1}}
    }.

%% @doc What to do with a request of which only the head is there.
-spec admit(head()) -> admission().
admit(Head) ->
    Request = named(Head),
    case checked(Request) of
        {ok, Handler, Dialect} -> accepted(Handler, Dialect, ml_cluster_http_body:timed(Request));
        {preflight, Methods} -> {respond, decorated(preflight(Methods), Request)};
        {error, Reason} -> {respond, refused(Reason, Request)}
    end.

accepted({stream, Handler}, Dialect, Request) -> {stream, streaming(Handler, Dialect, Request)};
accepted(Handler, Dialect, Request) -> sized(Handler, Dialect, Request).

sized(Handler, Dialect, #{headers := Headers} = Request) ->
    #{body_bytes := Limit} = ml_cluster_config:get(limits),
    case Headers of
        #{<<"content-length">> := Length} when byte_size(Length) > 9 ->
            {respond, refused({too_large, <<"body">>, {at_least, 1000000000}, Limit}, Request)};
        _ ->
            Handle = fun(Body, Watch) ->
                handle(Handler, Dialect, Request#{body => Body, watch => Watch})
            end,
            Patience = ml_cluster_http_body:patience(Request),
            {Timeout, _} = body_time(Request),
            {read, #{limit => Limit, timeout => Timeout, answer => Patience}, Handle}
    end.

%% How long the body may take, and why it is refused after that: the client's own time runs while its
%% body comes in.
body_time(Request) ->
    #{body_timeout_ms := Longest} = ml_cluster_config:get(limits),
    case ml_cluster_http_body:time_left(Request) of
        Left when Left < Longest -> {Left, deadline_exceeded};
        _ -> {Longest, slow_body}
    end.

handle(Handler, Dialect, Request) ->
    decorated(guarded(fun() -> Handler(Request) end, Dialect), Request).

streaming(Handler, Dialect, Request) ->
    fun(Conn) ->
        case guarded(fun() -> Handler(Request, Conn) end, Dialect) of
            #{} = Response -> {respond, decorated(Response, Request)};
            Outcome -> Outcome
        end
    end.

guarded(Handle, Dialect) ->
    try
        Handle()
    catch
        throw:{http, Reason} ->
            ml_cluster_http_error:response(Dialect, Reason);
        Class:Reason:Stack ->
            ok = ml_cluster_log:bug(handler_failed, Class, Reason, Stack),
            ml_cluster_http_error:response(Dialect, internal)
    end.

%% @doc The response that refuses a request, in the dialect of its path.
-spec refuse(term(), head()) -> response().
refuse(slow_body, Head) ->
    {_, Reason} = body_time(ml_cluster_http_body:timed(Head)),
    refused(Reason, named(Head));
refuse(Reason, Head) ->
    refused(Reason, named(Head)).

refused(Reason, #{path := Path} = Request) ->
    {Dialect, _} = maps:get(route(Path), table(), {dialect_under(Path), #{}}),
    decorated(ml_cluster_http_error:response(Dialect, Reason), Request).

%% Clients of OpenAI's API read its errors on whatever they call there.
dialect_under(<<"/v1/", _/binary>>) -> openai;
dialect_under(_) -> ours.

checked(#{path := Path} = Request) ->
    case maps:find(route(Path), table()) of
        {ok, {Dialect, Methods}} -> checked(Dialect, Methods, Request);
        error -> {error, {not_found, Path}}
    end.

checked(_, Methods, #{method := <<"OPTIONS">>}) ->
    {preflight, Methods};
checked(Dialect, Methods, #{method := Method} = Request) ->
    case {handler(Method, Methods), is_allowed(Request), is_plain(Request)} of
        {error, _, _} -> {error, {method_not_allowed, methods(Methods)}};
        {_, false, _} -> {error, unauthorized};
        {_, _, false} -> {error, encoded_body};
        {Handler, true, true} -> {ok, Handler, Dialect}
    end.

%% HEAD is GET whose body the adapter leaves out.
-spec handler(binary(), #{binary() => handler()}) -> handler() | error.
handler(<<"HEAD">>, Methods) -> maps:get(<<"GET">>, Methods, error);
handler(Method, Methods) -> maps:get(Method, Methods, error).

methods(#{<<"GET">> := _} = Methods) -> maps:keys(Methods) ++ [<<"HEAD">>, <<"OPTIONS">>];
methods(Methods) -> maps:keys(Methods) ++ [<<"OPTIONS">>].

%% Who only asks whether we live needs no key.
is_allowed(#{path := <<"/health">>}) ->
    true;
%% The page asks for the key itself, and its files say nothing of the cluster.
is_allowed(#{path := <<"/">>}) ->
    true;
is_allowed(#{path := <<"/ui/", _/binary>>}) ->
    true;
is_allowed(#{headers := Headers}) ->
    Header = maps:get(<<"authorization">>, Headers, undefined),
    ml_cluster_auth:allows(ml_cluster_config:get(api_keys, any), Header).

%% A compressed body of a kilobyte may be a gigabyte.
is_plain(#{headers := #{<<"content-encoding">> := Coding}}) -> Coding =:= <<"identity">>;
is_plain(_) -> true.

%% ---- What every response carries ----

named(#{headers := Headers} = Head) ->
    maps:merge(Head, ml_cluster_http_trace:of_request(Headers)).

preflight(Methods) ->
    #{status => 204, headers => [{<<"allow">>, lists:join(<<", ">>, methods(Methods))}], body => <<>>}.

decorated(#{headers := Own} = Response, #{id := Id} = Request) ->
    Headers = [{<<"x-request-id">>, Id} | Own],
    Response#{headers := ml_cluster_http_cors:headers(Request) ++ Headers}.

%% @doc Counts a response that was sent.
-spec observe(binary(), 100..599, non_neg_integer()) -> ok.
observe(Path, Status, Microseconds) ->
    Route = {route, label(Path)},
    ok = ml_cluster_histogram:count(http_response, [Route, {class, Status div 100}], 1),
    ml_cluster_histogram:observe(http_request, [Route], Microseconds).
