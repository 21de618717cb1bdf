mod faults;
mod form;
mod operations;
mod rule;
mod rules;
mod scene;
