-- Reviews of one kind, such as incidents, are found without a look at all the others.
create index review_kind on review(tenant, kind);
