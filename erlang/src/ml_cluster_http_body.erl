%% @doc Reading of requests: JSON object, fields and their types. What is wrong is
%% thrown as `{http, Reason}' for {@link ml_cluster_http_error}.
-module(ml_cluster_http_body).

-export([object/1, object/3, strings/2, model/1, options/1, patience/1, time_left/1, timed/1, json/2]).

%% A day: what ml_cluster takes.
-define(MAX_TIMEOUT, 86400000).
-define(GRACE, 1000).
%% Of a request, besides its texts.
-define(OTHER_VALUES, 1000).

%% @doc The body as a JSON object.
-spec object(ml_cluster_http:request()) -> map().
object(#{body := Body}) ->
    case ml_cluster_json:decode(Body, max_values()) of
        {ok, #{} = Object} -> Object;
        {ok, _} -> throw({http, {malformed, <<"expected a JSON object">>}});
        {error, Reason} -> throw({http, Reason})
    end.

%% The texts of a call and whatever else a request says. Twice as many texts: who has somewhat too many
%% is told how many there are.
max_values() ->
    #{texts := Texts} = ml_cluster_config:get(limits),
    2 * Texts + ?OTHER_VALUES.

%% @doc The body as a JSON object with all required and no unknown fields.
-spec object(ml_cluster_http:request(), [binary()], [binary()]) -> map().
object(Request, Required, Optional) ->
    Object = object(Request),
    Fields = maps:keys(Object),
    case {Required -- Fields, Fields -- (Required ++ Optional)} of
        {[], []} -> Object;
        {[Missing | _], _} -> throw({http, {bad_argument, Missing, <<"is missing">>}});
        {[], [Unknown | _]} -> throw({http, {bad_argument, Unknown, <<"is not a field here">>}})
    end.

%% @doc A field that is a list of strings.
-spec strings(binary(), map()) -> [binary()].
strings(Field, Object) ->
    case Object of
        #{Field := Texts} when is_list(Texts) -> all_strings(Field, Texts);
        _ -> throw({http, {bad_argument, Field, <<"expected a list of strings">>}})
    end.

all_strings(Field, Texts) ->
    case are_strings(Texts) of
        true -> Texts;
        false -> throw({http, {bad_argument, Field, <<"expected a list of strings">>}})
    end.

%% lists:all/2 takes nine times as long: 2.4 µs more for 256.
are_strings([Text | Rest]) -> is_binary(Text) andalso are_strings(Rest);
are_strings([]) -> true.

%% @doc The model; none and null are the default one.
-spec model(map()) -> binary().
model(#{<<"model">> := null}) -> <<"default">>;
model(#{<<"model">> := Model}) when is_binary(Model) -> Model;
model(#{<<"model">> := _}) -> throw({http, {bad_argument, <<"model">>, <<"expected a string">>}});
model(_) -> <<"default">>.

%% @doc Options of a call that come with every request: the time it has, and what the client calls
%% it, for the worker's log; and how its end is noticed.
-spec options(ml_cluster_http:request()) -> map().
options(#{deadline := wrong}) ->
    throw({http, {malformed, <<"X-Timeout-Ms: expected milliseconds, at most 86400000">>}});
options(#{deadline := _} = Request) ->
    (maps:with([trace, watch], Request))#{timeout_ms => time_left(Request)};
options(Request) ->
    maps:with([trace, watch], Request).

%% @doc How long a request may take to answer, in milliseconds: what its call has, and a little for
%% the answer to be made.
-spec patience(ml_cluster_http:head()) -> pos_integer().
patience(#{deadline := wrong}) -> ?GRACE;
patience(#{deadline := _} = Head) -> time_left(Head) + ?GRACE;
patience(#{}) -> ml_cluster_config:get(default_timeout_ms) + ?GRACE.

%% @doc What is left of the milliseconds that the client gives its request; `infinity' where it has not
%% said, or something else than milliseconds.
-spec time_left(ml_cluster_http:head()) -> non_neg_integer() | infinity.
time_left(#{deadline := Deadline}) when is_integer(Deadline) -> max(0, Deadline - now_ms());
time_left(#{}) -> infinity.

%% @doc A request with the deadline that its client gives it, as the functions above take it. One that is
%% wrong is refused when the request is handled, in the dialect of its route.
-spec timed(ml_cluster_http:head()) -> ml_cluster_http:head().
timed(#{headers := #{<<"x-timeout-ms">> := Value}} = Head) ->
    case milliseconds(Value) of
        wrong -> Head#{deadline => wrong};
        Milliseconds -> Head#{deadline => now_ms() + Milliseconds}
    end;
timed(Head) ->
    Head.

milliseconds(Value) when byte_size(Value) < 10 ->
    try binary_to_integer(Value) of
        Milliseconds when Milliseconds >= 0, Milliseconds =< ?MAX_TIMEOUT -> Milliseconds;
        _ -> wrong
    catch
        error:badarg -> wrong
    end;
milliseconds(_) ->
    wrong.

now_ms() -> erlang:monotonic_time(millisecond).

%% @doc A JSON response.
-spec json(100..599, ml_cluster_json:output()) -> ml_cluster_http:response().
json(Status, Value) ->
    #{
        status => Status,
        headers => [{<<"content-type">>, <<"application/json">>}],
        body => ml_cluster_json:encode(Value)
    }.
