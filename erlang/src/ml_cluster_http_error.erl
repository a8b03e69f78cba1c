%% @doc Reasons to HTTP responses, in the dialect that a route's clients know. Pure.
-module(ml_cluster_http_error).

-export([response/2, describe/1]).
-export_type([dialect/0]).

%% `ours': `{error: {message, reason}}'. `openai': `{error: {message, type, param, code}}'. `tei',
%% as text-embeddings-inference has them: `{error, error_type}'.
-type dialect() :: ours | openai | tei.

%% @doc The response for a reason.
-spec response(dialect(), term()) -> ml_cluster_http:response().
response(Dialect, Reason) ->
    {Told, Word, Message} = describe(Reason),
    Status = status(Dialect, Told, Word),
    Response = ml_cluster_http_body:json(Status, body(Dialect, Status, Word, Message, Reason)),
    Response#{headers := maps:get(headers, Response) ++ headers(Reason)}.

%% OpenAI's clients expect 400 for whatever is wrong with a field; those of
%% text-embeddings-inference 424 for a model that fails, and 422 for a text that is too long.
status(openai, 422, _) -> 400;
status(tei, 500, _) -> 424;
status(tei, 413, <<"too_long">>) -> 422;
status(_, Status, _) -> Status.

body(ours, _, Word, Message, _) ->
    #{error => #{message => Message, reason => Word}};
body(tei, Status, Word, Message, _) ->
    #{error => Message, error_type => tei_type(Status, Word)};
body(openai, Status, Word, Message, Reason) ->
    #{
        error => #{
            message => Message,
            type => openai_type(Status),
            param => param(Reason),
            code => openai_code(Word)
        }
    }.

tei_type(_, <<"empty">>) -> <<"Empty">>;
tei_type(424, _) -> <<"Backend">>;
tei_type(429, _) -> <<"Overloaded">>;
tei_type(Status, _) when Status >= 500 -> <<"Unhealthy">>;
tei_type(_, _) -> <<"Validation">>.

openai_type(401) -> <<"authentication_error">>;
openai_type(429) -> <<"rate_limit_error">>;
openai_type(Status) when Status >= 500 -> <<"server_error">>;
openai_type(_) -> <<"invalid_request_error">>.

openai_code(<<"unknown_model">>) -> <<"model_not_found">>;
openai_code(<<"unauthorized">>) -> <<"invalid_api_key">>;
openai_code(Word) -> Word.

param({bad_argument, Name, _}) -> text(Name);
param({unknown_model, _}) -> <<"model">>;
param(_) -> null.

headers({method_not_allowed, Methods}) ->
    [{<<"allow">>, lists:join(<<", ">>, Methods)}];
headers({overloaded, Ms}) ->
    Seconds = max(1, (Ms + 999) div 1000),
    [{<<"retry-after">>, integer_to_binary(Seconds)}];
headers(unauthorized) ->
    [{<<"www-authenticate">>, <<"Bearer">>}];
headers(_) ->
    [].

%% @doc Status, one word for programs, and a sentence for people.
-spec describe(term()) -> {400..599, binary(), binary()}.
describe({malformed, What}) ->
    {400, <<"malformed">>, What};
describe({empty, Name}) ->
    {400, <<"empty">>, join([Name, <<": expected at least one text">>])};
describe(unauthorized) ->
    {401, <<"unauthorized">>, <<"expected an API key: Authorization: Bearer KEY">>};
describe({not_found, _}) ->
    {404, <<"not_found">>, <<"there is no such path">>};
describe({unknown_model, Name}) ->
    {404, <<"unknown_model">>, join([<<"no worker has the model ">>, text(Name)])};
describe({method_not_allowed, Methods}) ->
    {405, <<"method_not_allowed">>, join([<<"expected ">>, lists:join(<<" or ">>, Methods)])};
describe(slow_head) ->
    {408, <<"timeout">>, <<"the request's headers did not arrive in time">>};
describe(uri_too_long) ->
    {414, <<"too_large">>, <<"the request line: at most 8192 bytes">>};
describe({head_too_large, What}) ->
    {431, <<"too_large">>, What};
describe({version, What}) ->
    {505, <<"version">>, What};
describe(slow_body) ->
    {408, <<"timeout">>, <<"the body did not arrive in time">>};
describe({too_large, What, Got, Limit}) ->
    {413, <<"too_large">>, sized(What, Got, Limit)};
describe({too_long, Index, Tokens, Limit}) ->
    {413, <<"too_long">>, sized(join([<<"text ">>, text(Index)]), Tokens, Limit)};
describe(encoded_body) ->
    {415, <<"encoded_body">>, <<"Content-Encoding: expected none">>};
describe({bad_argument, Name, What}) ->
    {422, <<"bad_argument">>, join([text(Name), <<": ">>, text(What)])};
describe(Reason) ->
    describe_failure(Reason).

%% What is nobody's request's fault.
describe_failure({overloaded, _}) ->
    {429, <<"overloaded">>, <<"all workers are busy">>};
describe_failure(deadline_exceeded) ->
    {504, <<"deadline_exceeded">>, <<"not answered within the time of the request">>};
describe_failure(no_workers) ->
    {503, <<"no_workers">>, <<"no worker is up">>};
describe_failure(draining) ->
    {503, <<"draining">>, <<"shutting down">>};
describe_failure(not_started) ->
    {503, <<"not_started">>, <<"the front is not running">>};
describe_failure({worker_lost, Node}) ->
    {503, <<"worker_lost">>, join([<<"the connection to ">>, text(Node), <<" was lost">>])};
describe_failure({unhealthy, _}) ->
    {503, <<"unhealthy">>, <<"the worker's device fails">>};
describe_failure({model_failed, Name, What}) ->
    {500, <<"model_failed">>, join([<<"model ">>, text(Name), <<": ">>, text(What)])};
describe_failure({worker_failed, Node, _}) ->
    {500, <<"worker_failed">>, join([text(Node), <<" failed">>])};
describe_failure(_) ->
    {500, <<"internal">>, <<"internal error">>}.

sized(What, Got, Limit) ->
    join([text(What), <<": at most ">>, text(Limit), <<", got ">>, text(Got)]).

join(Parts) -> iolist_to_binary(Parts).

text(Text) when is_binary(Text) -> Text;
text({at_least, Number}) -> join([<<"at least ">>, text(Number)]);
text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(Other) -> unicode:characters_to_binary(io_lib:format("~0tp", [Other])).
